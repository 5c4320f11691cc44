"""`tidecast explain`: show a model's gates and cell state over the newest window."""

from pathlib import Path

from tidecast.cli.options import (
    FeaturesOption,
    FilesArgument,
    JsonOption,
    OutOption,
    SeriesArgument,
    SeriesColumnOption,
    StoreOption,
    TargetOption,
    TimeZoneOption,
    VersionOption,
    names,
)
from tidecast.settings import load_settings


def explain(
    series: SeriesArgument,
    files: FilesArgument,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    time_zone: TimeZoneOption = None,
    version: VersionOption = None,
    out: OutOption = Path("out/reports"),
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Show a model's gates and cell state over the newest window, as a table and a picture."""
    from trainer.reports import explain
    from trainer.reports.target import Request

    request = Request(series, tuple(files), target, names(features), time_zone, version, series_column)
    explain.run(request, load_settings(store=store), out, as_json=as_json)
