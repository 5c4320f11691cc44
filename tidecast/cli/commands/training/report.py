"""`tidecast report`: write a page about a model version."""

import json

from tidecast.cli.options import ReportOptions


def report(options: ReportOptions) -> None:
    """Write a page about a model version: training, forecasts, errors, and why it was published."""
    from trainer.reports import report

    page = report.run(options.request(), options.settings(), options.out)
    print(json.dumps({"page": str(page)}) if options.as_json else page)
