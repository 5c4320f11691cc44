"""`tidecast push`: push the readings of a file or a pipe to the stream."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tidecast.cli.exit_codes import INTERRUPTED, SOME_REFUSED
from tidecast.cli.options import ColumnOptions, FileArgument, JsonOption, StreamOptions
from tidecast.progress import progress
from tidecast.settings import load_settings
from tidecast.tools.push import PushResult, parse_speed, push_file, push_known_file


def push(
    file: FileArgument,
    *,
    speed: Annotated[str | None, typer.Option(help="Push at this multiple of the recorded speed, such as 60x.")] = None,
    known: Annotated[
        bool, typer.Option("--known", help="The file holds values that are known ahead, not readings.")
    ] = False,
    columns: ColumnOptions,
    as_json: JsonOption = False,
    streams: StreamOptions,
) -> None:
    """Push the readings of a file, as fast as possible or at a given speed, or those of a pipe as they come."""
    pushed = PushResult()
    is_interrupted = False
    factor = parse_speed(speed) if speed else None
    selection = columns.selection(load_settings().series.target)
    with streams.client() as client, progress("pushing", "readings") as shown:
        try:
            if known:
                push_known_file(client, file, selection, pushed, time_zone=columns.time_zone)
            else:
                push_file(client, file, selection, pushed, time_zone=columns.time_zone, speed=factor, progress=shown)
        except KeyboardInterrupt:
            is_interrupted = True
    answer = {"pushed": pushed.count, "refused": [asdict(refusal) for refusal in pushed.refused]}
    print(json.dumps(answer) if as_json else f"{pushed.count} {'rows of known values' if known else 'readings'} pushed")
    if is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if pushed.refused:
        raise typer.Exit(SOME_REFUSED)
