"""`tidecast explain`: show the weights of the experts, and the gates of a network over the newest window."""

from tidecast.cli.options import OptionalFilesArgument, ReportOptions, SeriesArgument


def explain(series: SeriesArgument, files: OptionalFilesArgument = None, *, options: ReportOptions) -> None:
    """Show the weights of the experts, and the gates of the series' network over the newest window, as pictures."""
    from trainer.reports import explain

    explain.run(options.request(series, files), options.settings(), options.out, as_json=options.as_json)
