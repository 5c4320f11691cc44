"""The examples in short form, one after another in one process: the arguments are their folder and their names."""

import runpy
import sys

from trainer.reports import html_page
from trainer.reports.canvas import SHEETS


def main() -> None:
    """Run each with a folder of its name for its results. Tests of the reports draw all sheets."""
    html_page.SHEETS = {"light": SHEETS["light"]}
    html_page._MEDIA = {}
    examples, *names = sys.argv[1:]
    for name in names:
        print(f"example {name}", flush=True)
        sys.argv = [name, "--short", "--epochs", "1", "--out", name]
        runpy.run_path(f"{examples}/{name}.py", run_name="__main__")
