"""`tidecast explain`: show a model's gates and cell state over the newest window."""

from tidecast.cli.options import ReportOptions


def explain(options: ReportOptions) -> None:
    """Show a model's gates and cell state over the newest window, as a table and a picture."""
    from trainer.reports import explain

    explain.run(options.request(), options.settings(), options.out, as_json=options.as_json)
