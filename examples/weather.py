"""Forecast the next day's highest temperature in Seattle from four years of daily weather, several columns at once.

python examples/weather.py
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from vega_datasets import local_data

from tidecast.errors import TidecastError
from tidecast.files.history import read_history
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from tidecast.start import prefer_own_modules

prefer_own_modules()  # so that a `trainer.py` or `trainer/` of yours is not imported below

from trainer.pipeline import train
from trainer.reports.explain import explain
from trainer.reports.html_page import picture_path
from trainer.reports.report import report

SPEC = Spec(window=30, units=32)  # a month of days
SHORT_SPEC = Spec(window=10, units=8)
SHORT_DAYS = 200  # enough to see that it runs


def main(epochs: int, out: Path, *, short: bool) -> None:
    """Train a model on the weather, write its report and explain its next forecast."""
    file = Path(local_data.seattle_weather.filepath)
    (history,) = read_history(file, target="temp_max", features=("temp_min", "precipitation", "wind")).accepted
    if short:
        history = replace(history, ts=history.ts[-SHORT_DAYS:], values=history.values[-SHORT_DAYS:])
    settings = load_settings(store=out / "models", train={"epochs": epochs})
    store = ModelStore(settings.store)

    (verdict,) = train([history], SHORT_SPEC if short else SPEC, settings, store)
    print(f"{history.series}: {verdict.status}; {verdict.reason}")
    if verdict.evidence is None:
        return
    print(f"skill {verdict.evidence.skill:.3f}")
    page = report(history.series, history, settings, store, out, verdict.version)
    gates = explain(history.series, history, settings, store, out, verdict.version)
    print(f"next day's highest temperature: {gates.trace.forecast:.1f} °C")
    picture = copyfile(picture_path(page, "forecasts"), out / "weather.png")
    print(f"report {page}, gates {gates.path}, picture {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40, help="the largest number of passes over the data")
    parser.add_argument("--out", type=Path, default=Path("out/weather"), help="the directory for the results")
    parser.add_argument("--short", action="store_true", help=f"a small network on the newest {SHORT_DAYS} days")
    given = parser.parse_args()
    try:
        main(given.epochs, given.out, short=given.short)
    except TidecastError as exc:
        sys.exit(f"weather: {exc}")
