"""Forecast the next hour's electricity load, from an hourly CSV of yours or from made-up hours.

python examples/energy.py
python examples/energy.py my_load.csv --target load_mw
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile

from tidecast.errors import HistoryError, TidecastError
from tidecast.files.history import read_history
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from tidecast.start import prefer_own_modules

prefer_own_modules()  # so that a `trainer.py` or `trainer/` of yours is not imported below

from trainer.pipeline import train
from trainer.reports.html_page import picture_path
from trainer.reports.report import report

MADE_UP = Path(__file__).parent / "data" / "energy_made_up.csv"
SPEC = Spec(window=24, units=50)  # a day of hours
SHORT_SPEC = Spec(window=24, units=8)


def main(files: Sequence[Path], target: str | None, epochs: int, out: Path, *, short: bool) -> None:
    """Train a model for each series of the files and report on each one that could be trained."""
    histories = read_history(files, target=target)
    for refusal in histories.refused:
        print(f"{refusal.series}: {refusal.reason}")
    if not histories.accepted:
        raise HistoryError("no series can be used, for the reasons above")
    settings = load_settings(store=out / "models", train={"epochs": epochs})
    store = ModelStore(settings.store)
    verdicts = train(histories.accepted, SHORT_SPEC if short else SPEC, settings, store)
    for history, verdict in zip(histories.accepted, verdicts, strict=True):
        print(f"{verdict.series}: {verdict.status}; {verdict.reason}")
        if verdict.evidence and verdict.version:
            print(f"skill {verdict.evidence.skill:.3f}")
            page = report(history.series, history, settings, store, out, verdict.version)
            picture = copyfile(picture_path(page, "forecasts"), out / f"energy-{page.stem}.png")
            print(f"report {page}, picture {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[MADE_UP], help="hourly load as CSV; default: made up")
    parser.add_argument("--target", help="the column to forecast; by default the only numeric one")
    parser.add_argument("--epochs", type=int, default=40, help="the largest number of passes over the data")
    parser.add_argument("--out", type=Path, default=Path("out/energy"), help="the directory for the results")
    parser.add_argument("--short", action="store_true", help="a small network, to see that it runs")
    given = parser.parse_args()
    try:
        main(given.files, given.target, given.epochs, given.out, short=given.short)
    except TidecastError as exc:
        sys.exit(f"energy: {exc}")
