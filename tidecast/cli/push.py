"""`tidecast push`: push the readings of a file or a pipe to the stream."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tidecast.cli.exit_codes import INTERRUPTED, SOME_REFUSED
from tidecast.cli.options import (
    FeaturesOption,
    FileArgument,
    JsonOption,
    NamespaceOption,
    RedisOption,
    SeriesColumnOption,
    TargetOption,
    TimeZoneOption,
    names,
)
from tidecast.files.layout import Selection
from tidecast.progress import progress
from tidecast.settings import load_settings
from tidecast.tools.push import Pushed, parse_speed, push_file


def push(
    file: FileArgument,
    speed: Annotated[
        str | None, typer.Option(help="Follow the rows' times, this many times faster, such as 60x.")
    ] = None,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    time_zone: TimeZoneOption = None,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Push the readings of a file, as fast as possible or at a given speed; lines of a pipe are pushed as they come."""
    from tidecast.client import Client

    factor = parse_speed(speed) if speed else None
    likely = load_settings().series.target
    selection = Selection(target, names(features), series_column, likely, all_by_default=True)
    pushed = Pushed()
    is_interrupted = False
    with Client(redis, namespace=namespace) as client, progress("pushing", "readings") as tell:
        try:
            push_file(client, file, selection, pushed, time_zone=time_zone, speed=factor, progress=tell)
        except KeyboardInterrupt:
            is_interrupted = True
    answer = {"pushed": pushed.count, "refused": [asdict(refusal) for refusal in pushed.refused]}
    print(json.dumps(answer) if as_json else f"{pushed.count} readings pushed")
    if is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if pushed.refused:
        raise typer.Exit(SOME_REFUSED)
