"""`tidecast archive`: move answered readings from Redis into Parquet files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tidecast.cli.options import JsonOption, StreamOptions
from tidecast.cli.times import ago_ms
from tidecast.outputs import check_folder
from tidecast.progress import progress


def archive(
    *,
    older_than: Annotated[
        str, typer.Option(help="Move readings that arrived longer ago than this, such as 7d, 12h or 90m.")
    ] = "7d",
    history: Annotated[Path, typer.Option(help="The directory of the archive.")] = Path("history"),
    as_json: JsonOption = False,
    streams: StreamOptions,
) -> None:
    """Move answered readings from Redis into Parquet files, which training can read too."""
    from trainer.data.archiving import move

    settings = streams.settings()
    before_ms = ago_ms(older_than, "--older-than")
    check_folder("--history", history)
    with progress("archiving", "readings") as report_progress:
        moved = move(settings, history, before_ms, report_progress)
    answer = {"archived": moved, "history": str(history)}
    print(json.dumps(answer) if as_json else f"readings archived in {history}: {moved}")
