"""`tidecast backtest`: train on the first part of a history, and forecast the rest."""

from pathlib import Path
from typing import Annotated

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import ColumnOptions, JsonOption, NonNegativeOption, PresetOption, with_minimum
from tidecast.settings import load_settings


def backtest(
    *,
    data: Annotated[list[str], typer.Option(help="A file or directory, as for train; can be repeated.")],
    out: Annotated[Path, typer.Option(help="Write the forecasts to this CSV file.")],
    test_size: Annotated[
        float, typer.Option(help="The share of the newest readings to forecast.", min=0, max=0.9)
    ] = 0.2,
    columns: ColumnOptions,
    preset: PresetOption = None,
    non_negative: NonNegativeOption = False,
    pictures: Annotated[Path | None, typer.Option(help="The folder for a picture of each series.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on the first part of a history, and forecast the rest with the worker's code."""
    from tidecast.tools.backtest import BacktestJob, run

    job = BacktestJob(tuple(data), out, test_size, preset=preset, pictures=pictures, **columns.as_arguments())
    if not run(job, with_minimum(load_settings(), non_negative=non_negative), as_json=as_json):
        raise typer.Exit(SOME_REFUSED)
