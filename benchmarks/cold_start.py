"""Compare the forecasts of a worker that has no model and no state with methods that need no training either.

Each series begins with its first reading. A file is a set of series as for the benchmark `accuracy`. The last column is
forecast one step ahead. docs/accuracy.md describes the measurement and where to find such files.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.accuracy import chosen_methods, data_sets
from benchmarks.harness.cold_start.contestants import CONTESTANTS, NEEDS, Start, forecast_all
from benchmarks.harness.cold_start.windows import (
    WINDOWS,
    SetResult,
    StartScore,
    figures,
    header,
    ratios_line,
    score_start,
    skills_line,
)
from benchmarks.harness.real import data_options, spread
from benchmarks.harness.scores import LAST_VALUE, TIDECAST
from tidecast.arrays import Float
from tidecast.files.history import History, read_history
from tidecast.models.calendar_seasons import calendar_seasons
from tidecast.models.time_grid import typical_step
from tidecast.online.forecaster import Forecaster
from tidecast.settings import SeriesSettings
from tidecast.wire import Forecast
from trainer.evaluation.virtual_clock import results_of
from trainer.fit.seasonality import LONGEST

READINGS = WINDOWS[-1][1]  # of each series at most
LEAST = 30  # readings of a series: enough for the first window
SKIPPABLE = tuple(method for method in CONTESTANTS if method != LAST_VALUE)


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    data_options(parser, SKIPPABLE)
    parser.add_argument("--table", type=Path, help="a file for the two tables, in Markdown")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure each set, print its lines of the tables, and return the figures by name."""
    if not args.data:
        print("cold_start needs --data: docs/accuracy.md names sources of real series")
        return {}
    methods = chosen_methods(CONTESTANTS, NEEDS, args.without)
    shown = [TIDECAST, *(method for method in methods if method != LAST_VALUE)]
    skills = header(shown)
    ratios = header(methods)
    results: list[SetResult] = []
    print(*skills, sep="\n", flush=True)
    for name, path in data_sets(args.data, args.only).items():
        began = time.perf_counter()
        kept = args.kept and args.kept / f"{name}.npz"
        results.append(SetResult(name, _scores(first_readings(path, args.series), methods, kept)))
        skills.append(skills_line(results[-1], shown))
        ratios.append(ratios_line(results[-1], methods))
        print(skills[-1], f"{time.perf_counter() - began:.0f} s", flush=True)
    print("", *ratios, sep="\n", flush=True)
    if args.table:
        args.table.write_text("\n".join([*skills, "", *ratios]) + "\n")
    return figures(results, methods)


def first_readings(path: Path, most: int | None) -> list[History]:
    """Return the first readings of the series of a set, without other columns."""
    long_enough = [history for history in read_history(path).accepted if len(history) >= LEAST]
    chosen = spread(long_enough, most) if most else long_enough
    return [replace(h, ts=h.ts[:READINGS], values=h.values[:READINGS]) for h in chosen]


def _scores(histories: Sequence[History], methods: Sequence[str], kept: Path | None) -> tuple[StartScore, ...]:
    starts = [Start(h.values[:, 0], calendar_seasons(typical_step(h.ts), LONGEST)) for h in histories]
    others = forecast_all(starts, [method for method in methods if method != LAST_VALUE], kept)
    made = untrained_forecasts(histories)
    answers = [_before_each(history, made[history.series]) for history in histories]
    return tuple(
        score_start(start.y, {TIDECAST: answer[:, 0], **forecasts}, answer[:, 1:])
        for start, forecasts, answer in zip(starts, others, answers, strict=True)
    )


def untrained_forecasts(histories: Sequence[History], steps: int = 1) -> dict[str, list[Forecast]]:
    """Forecast histories from their first readings by the worker's code, so many steps; return these by series."""
    made: dict[str, list[Forecast]] = {history.series: [] for history in histories}
    if histories:
        forecaster = Forecaster(SeriesSettings(target=histories[0].features[0], horizon=steps))
        for result in results_of(forecaster, histories):
            for forecast in result.forecasts:
                made[forecast.series].append(forecast)
    return made


def _before_each(history: History, made: Sequence[Forecast]) -> Float:
    """Return the forecast and the band that stood when each reading arrived, `(readings, 3)`; NaN without one."""
    by_origin = {f.origin: (f.yhat, f.yhat_lower, f.yhat_upper) for f in made}
    rows = [by_origin.get(ts, (None,) * 3) for ts in history.ts[:-1].tolist()]
    return np.array([(None,) * 3, *rows], dtype=np.float64)
