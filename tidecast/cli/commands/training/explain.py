"""`tidecast explain`: show a model's gates and cell state over the newest window."""

from tidecast.cli.options import OptionalFilesArgument, ReportOptions, SeriesArgument


def explain(series: SeriesArgument, files: OptionalFilesArgument = None, *, options: ReportOptions) -> None:
    """Show a model's gates and cell state over the newest window, as a table and a picture."""
    from trainer.reports import explain

    explain.run(options.request(series, files), options.settings(), options.out, as_json=options.as_json)
