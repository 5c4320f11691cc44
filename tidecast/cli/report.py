"""`tidecast report`: write a page about a model version."""

import json
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


def report(
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
    """Write a page about a model version: training, forecasts, errors, and why it was published."""
    from trainer.reports import report
    from trainer.reports.target import Request

    request = Request(series, tuple(files), target, names(features), time_zone, version, series_column)
    page = report.run(request, load_settings(store=store), out)
    print(json.dumps({"page": str(page)}) if as_json else page)
