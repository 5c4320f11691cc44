"""`tidecast notify`: post events to a web address."""

import json
from typing import Annotated

import typer

from tidecast.cli.options import HealthPortOption, JsonOption, StreamOptions
from tidecast.errors import SettingsError


def notify(
    *,
    test: Annotated[bool, typer.Option("--test", help="Post one message now, and exit.")] = False,
    as_json: JsonOption = False,
    health_port: HealthPortOption = None,
    streams: StreamOptions,
) -> None:
    """Post events to the address in notify.url (Ctrl+C to stop)."""
    from worker.notify import main as program

    settings = streams.settings()
    if not test and as_json:
        raise SettingsError("--json works only with --test: the command prints no result; its log has log_format")
    if not test:
        program.run(settings, health_port)
        return
    place = program.post_test(settings)
    print(json.dumps({"delivered": True, "to": place}) if as_json else f"{place} took the message")
