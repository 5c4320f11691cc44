"""`tidecast worker`: answer every reading with a forecast."""

import json
from typing import Annotated

import typer

from tidecast.cli.options import NamespaceOption, NonNegativeOption, RedisOption, StoreOption, bounded, with_setting
from tidecast.errors import SettingsError
from tidecast.settings import load_settings


def worker(
    burst: Annotated[bool, typer.Option("--burst", help="Exit when every reading is answered.")] = False,
    dry_run: Annotated[bool, typer.Option("--check", help="Only check settings and store.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result of --check as JSON.")] = False,
    health_port: Annotated[int | None, typer.Option(help="Serve metrics and probes here; 0 picks a port.")] = None,
    non_negative: NonNegativeOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    store: StoreOption = None,
) -> None:
    """Answer every reading with a forecast (Ctrl+C to stop)."""
    from worker import main as program

    settings = load_settings(redis_url=redis, namespace=namespace, store=store)
    settings = bounded(settings, non_negative=non_negative)
    settings = with_setting(settings, "worker", "health_port", health_port)
    if dry_run:
        answer = {"champions": program.check(settings), "store": str(settings.store)}
        sentence = f"settings are valid; {answer['champions']} champions in {settings.store}"
        print(json.dumps(answer) if as_json else sentence)
    elif as_json:
        raise SettingsError("--json is of --check: a worker prints nothing, its log is JSON")
    else:
        program.run(settings, burst=burst)
