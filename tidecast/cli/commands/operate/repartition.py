"""`tidecast repartition`: change the number of partitions while workers run."""

import json
from typing import Annotated

import typer

from tidecast.cli.options import InstallationOptions, JsonOption
from tidecast.durations import seconds_of
from tidecast.tools.repartition import repartition as change_partitions


def repartition(
    *,
    to: Annotated[int, typer.Option("--to", help="The new number of partitions.")],
    timeout: Annotated[str, typer.Option(help="How long to wait for the workers, such as 30s.")] = "60s",
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Change the number of partitions while workers run; an interrupted command may be repeated."""
    former, present = change_partitions(installation.settings(), to, seconds_of(timeout, "--timeout"))
    if as_json:
        print(json.dumps({"former": former, "partitions": present}))
    elif former == present:
        print(f"there are {present} partitions already")
    else:
        print(f"{present} partitions now, {former} before")
