"""`tidecast worker`: answer every reading with a forecast."""

import json
from typing import Annotated

import typer

from tidecast.cli.options import HealthPortOption, InstallationOptions, NonNegativeOption, with_minimum, with_setting
from tidecast.errors import SettingsError
from tidecast.start import LastingObjects


def worker(
    *,
    burst: Annotated[bool, typer.Option("--burst", help="Exit when every reading is answered.")] = False,
    dry_run: Annotated[bool, typer.Option("--check", help="Check the settings and the store, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result of --check as JSON.")] = False,
    health_port: HealthPortOption = None,
    non_negative: NonNegativeOption = False,
    installation: InstallationOptions,
) -> None:
    """Answer every reading with a forecast (Ctrl+C to stop)."""
    with LastingObjects():
        from worker import main as program

    settings = with_minimum(installation.settings(), non_negative=non_negative)
    settings = with_setting(settings, "worker", "health_port", health_port)
    if dry_run:
        answer = {"champions": program.check(settings), "store": str(settings.store)}
        sentence = f"settings are valid; {answer['champions']} champions in {settings.store}"
        print(json.dumps(answer) if as_json else sentence)
    elif as_json:
        raise SettingsError("--json works only with --check: a worker prints no result; its log has log_format")
    else:
        program.run(settings, burst=burst)
