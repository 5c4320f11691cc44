"""`tidecast report`: write a page about a model version, or about all series."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tidecast.cli.completion import series_in_store
from tidecast.cli.options import OptionalFilesArgument, ReportOptions
from tidecast.errors import SettingsError


def report(
    series: Annotated[
        str | None, typer.Argument(help="The name of a series; left out with --all.", autocompletion=series_in_store)
    ] = None,
    files: OptionalFilesArgument = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Write a page on all series; with files, the report of each too.")
    ] = False,
    options: ReportOptions,
) -> None:
    """Write a page about a model version: training, forecasts, errors, and why it was published."""
    if every:
        page = _on_all([*([series] if series else []), *(files or [])], options)
    elif series is None:
        raise SettingsError("no series is named: name one, or add --all for a page on all of them")
    else:
        from trainer.reports import report

        page = report.run(options.request(series, files), options.settings(), options.out)
    print(json.dumps({"page": str(page)}) if options.as_json else page)


def _on_all(files: list[str], options: ReportOptions) -> Path:
    """Write the page on all series; every argument names a file."""
    if options.version is not None:
        raise SettingsError("--version works only for one series: leave it out, or name the series without --all")
    from trainer.reports import run_page

    source = options.source.of(files, options.columns) if files or options.source.recorded else None
    return run_page.run(source, options.settings(), options.out)
