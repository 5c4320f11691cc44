"""Compare a worker's forecasts of several steps with the usual methods: 24 steps of hours, 7 of days, 12 of months.

A file is a set of series as for the benchmark `accuracy`. Forecasts are compared at evenly spaced cutoffs in the newest
fifth of each series. docs/accuracy.md describes the measurement and where to find such files.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy import TEST, chosen_methods, data_sets
from benchmarks.cold_start import untrained_forecasts
from benchmarks.harness.cold_start.contestants import compute_all
from benchmarks.harness.real import data_options, spread
from benchmarks.harness.scores import LAST_VALUE, TIDECAST
from benchmarks.harness.yardsticks import season_of
from benchmarks.horizons.contestants import METHODS, NEEDS, Task
from benchmarks.horizons.scores import SeriesScore, SetResult, figures, header, line
from tidecast.arrays import Float
from tidecast.durations import DAY_MS
from tidecast.files.history import History, read_history
from tidecast.models.time_grid import typical_step
from tidecast.settings import load_settings
from tidecast.tools.backtest import backtest
from tidecast.wire import Forecast, steps_of

Answer = Callable[[Sequence[History], int], Mapping[str, Sequence[Forecast]]]

CUTOFFS = 20  # of each series at most
LEAST = 100  # readings of a series
SKIPPABLE = tuple(method for method in METHODS if method != LAST_VALUE)


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    data_options(parser, SKIPPABLE)
    parser.add_argument("--untrained", action="store_true", help="forecast without models, from the first reading on")
    parser.add_argument("--table", type=Path, help="a file for the table, in Markdown")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Measure each set, print its line of the table, and return the figures by name."""
    if not args.data:
        print("horizons needs --data: docs/accuracy.md names sources of real series")
        return {}
    methods = chosen_methods(METHODS, NEEDS, args.without)
    answer = untrained_forecasts if args.untrained else _trained_forecasts
    lines = header(methods)
    results: list[SetResult] = []
    print(*lines, sep="\n", flush=True)
    for name, path in data_sets(args.data, args.only).items():
        kept = args.kept and args.kept / f"horizons-{name}.npz"
        results.append(run(name, _histories(path, args.series), methods, answer, kept))
        lines.append(line(results[-1], methods))
        print(lines[-1], flush=True)
        if args.table:  # after each set, so that an interrupted run keeps its results
            args.table.write_text("\n".join(lines) + "\n")
    return figures(results, methods)


def run(
    name: str, histories: Sequence[History], methods: Sequence[str], answer: Answer, kept: Path | None
) -> SetResult:
    """Forecast the series of a set by the worker's code and by all methods, and score them at the same cutoffs."""
    steps = max((steps_for(typical_step(history.ts)) for history in histories), default=1)
    made = answer(histories, steps)
    tasks = {history.series: _task(history, steps) for history in histories}
    named = {(series, method): _name(tasks[series], method) for series in tasks for method in methods}
    known = compute_all(
        {key: (METHODS[method], tasks[series]) for (series, method), key in named.items()},
        kept,
        in_processes=any(method in NEEDS for method in methods),
    )
    scores = []
    for history in histories:
        others = {method: known[named[history.series, method]] for method in methods}
        scores.append(_score(history, tasks[history.series], made[history.series], others))
    return SetResult(name, steps, tuple(filter(None, scores)))


def steps_for(step_ms: float) -> int:
    """Return how many steps are forecast of series of this step: a day of hours, a week of days, a year of months."""
    if step_ms < DAY_MS:
        return 24
    if step_ms < 6 * DAY_MS:
        return 7
    return 12 if step_ms > 25 * DAY_MS else 8


def _histories(path: Path, most: int | None) -> list[History]:
    long_enough = [history for history in read_history(path).accepted if len(history) >= LEAST]
    return spread(long_enough, most) if most else long_enough


def _trained_forecasts(histories: Sequence[History], steps: int) -> dict[str, list[Forecast]]:
    settings = load_settings(series={"horizon": steps})
    settled = backtest(histories, TEST, settings).settled
    return {series: [row.forecast for row in rows] for series, rows in settled.items()}


def _task(history: History, steps: int) -> Task:
    y = history.values[:, 0]
    cut = len(y) - int(TEST * len(y))
    last = len(y) - 1 - steps
    cutoffs = np.unique(np.linspace(min(cut - 1, last), last, CUTOFFS).astype(np.int64))
    return Task(y, cut, season_of(history.ts, y, cut), steps, cutoffs)


def _score(history: History, task: Task, made: Sequence[Forecast], others: Mapping[str, Float]) -> SeriesScore | None:
    """Return the score of one series; None if it does not change."""
    at = {int(ts): row for row, ts in enumerate(history.ts)}
    answers = np.full((len(task.y), task.steps, 3), np.nan)
    for forecast in made:
        for each in steps_of(forecast):
            answers[at[forecast.origin], each.step - 1] = each.yhat, each.lower, each.upper
    scale = np.abs(np.diff(task.y[: task.cut])).mean()
    if not scale:
        return None
    following = np.arange(1, task.steps + 1)
    last = task.y[task.cutoffs][:, None]
    actual = task.y[task.cutoffs[:, None] + following]
    mase = {}
    for method, forecasts in {TIDECAST: answers[task.cutoffs, :, 0], **others}.items():
        mase[method] = np.abs(actual - np.where(np.isfinite(forecasts), forecasts, last)).mean(axis=0) / scale
    rows = np.arange(task.cut - 1, len(task.y) - task.steps)  # for the intervals every cutoff counts
    actual = task.y[rows[:, None] + following]
    lower, upper = np.moveaxis(answers[rows, :, 1:], 2, 0)
    inside = (lower <= actual) & (actual <= upper)
    return SeriesScore(mase, inside.sum(axis=0).astype(float), np.isfinite(lower).sum(axis=0).astype(float))


def _name(task: Task, method: str) -> str:
    """Return the name of a method's forecasts of a task in a file."""
    content = task.y.tobytes() + task.cutoffs.tobytes() + repr((task.cut, task.season, task.steps)).encode()
    return f"{method}-{hashlib.sha256(content).hexdigest()}"
