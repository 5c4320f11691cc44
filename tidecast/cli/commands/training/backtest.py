"""`tidecast backtest`: train on the first part of a history, and forecast the rest."""

from pathlib import Path
from typing import Annotated

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import (
    ColumnOptions,
    HorizonOption,
    InstallationOptions,
    JsonOption,
    NonNegativeOption,
    PresetOption,
    SchedulerOption,
    SeedOption,
    SourceOptions,
    with_minimum,
    with_setting,
)


def backtest(
    *,
    data: Annotated[list[str] | None, typer.Option(help="A file or directory, as for train; can be repeated.")] = None,
    source: SourceOptions,
    out: Annotated[Path, typer.Option(help="Write the forecasts to this CSV file.")],
    test_size: Annotated[
        float, typer.Option(help="The share of the newest readings to forecast.", min=0, max=0.9)
    ] = 0.2,
    columns: ColumnOptions,
    preset: PresetOption = None,
    horizon: HorizonOption = None,
    non_negative: NonNegativeOption = False,
    pictures: Annotated[Path | None, typer.Option(help="The directory for a picture of each series.")] = None,
    seed: SeedOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Train on the first part of a history, and forecast the rest with the worker's code."""
    readings = source.of(data or [], columns, "name files with --data")
    from tidecast.tools.backtest import BacktestJob, run

    job = BacktestJob(readings, out, test_size, preset, pictures, scheduler or "")
    settings = with_setting(installation.settings(), "train", "seed", seed)
    settings = with_setting(settings, "series", "horizon", horizon)
    settings = with_setting(settings, "retrain", "scheduler", scheduler)
    if not run(job, with_minimum(settings, non_negative=non_negative), as_json=as_json):
        raise typer.Exit(SOME_REFUSED)
