"""Compare a worker's forecasts on files of real series with the usual methods: errors, bands, minutes.

A file is a set of series, with the columns `series`, `timestamp` and numbers. The last column is forecast one step
ahead over the newest fifth of each series. docs/accuracy.md describes the measurement and where to find such files.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.harness.scores import LAST_VALUE, TIDECAST, Result, Score, figures, header, line, score, scored_rows
from benchmarks.harness.yardsticks import METHODS, NEEDS, Series, season_of
from tidecast.arrays import Float
from tidecast.files.history import History, read_history
from tidecast.models.presets import PRESETS, preset
from tidecast.models.spec import Spec
from tidecast.settings import Settings, load_settings
from tidecast.tools import backtest
from tidecast.tools.backtest import BacktestResult
from tidecast.tools.backtest_report import Settled

Backtest = Callable[[Sequence[History], float, Settings], BacktestResult]

TEST = 0.2  # share of the newest rows, including rows without a reading
SKIPPABLE = tuple(method for method in METHODS if method != LAST_VALUE)


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--data", type=Path, help="a directory of CSV files; nothing is measured when left out")
    parser.add_argument("--only", type=names, default=(), help="sets, with commas: file names without _open.csv.gz")
    parser.add_argument("--without", type=names, default=(), help=f"methods to skip: {', '.join(SKIPPABLE)}")
    parser.add_argument(
        "--preset", choices=PRESETS, help="what the series' own networks learn; the default when left out"
    )
    parser.add_argument("--univariate", action="store_true", help="read the target alone, not the other columns")
    parser.add_argument("--table", type=Path, help="a file for the table, in Markdown")


def measure(args: argparse.Namespace, answer: Backtest = backtest.backtest) -> dict[str, float]:
    """Measure each set, print its line of the table, and return the figures by name."""
    if not args.data:
        print("accuracy needs --data: docs/accuracy.md names sources of real series")
        return {}
    methods = chosen_methods(METHODS, NEEDS, args.without)
    if args.preset:
        answer = partial(backtest.backtest, spec=Spec(**preset(args.preset)))
    features = () if args.univariate else ("all",)
    paths = data_sets(args.data, args.only)
    lines = header(methods)
    results: list[Result] = []
    print(*lines, sep="\n", flush=True)
    for name, path in paths.items():
        results.append(run(name, path, methods, answer, features))
        lines.append(line(results[-1], methods))
        print(lines[-1], flush=True)
        if args.table:  # after each set, so that an interrupted run keeps its results
            args.table.write_text("\n".join(lines) + "\n")
    return figures(results)


def data_sets(folder: Path, only: Sequence[str] = ()) -> dict[str, Path]:
    """Return the files of a directory that hold a set of series, by name; other tables are skipped."""
    files = sorted(path for ending in ("*.csv", "*.csv.gz") for path in folder.glob(ending))
    sets = {_name(path): path for path in files if _is_set(path)}
    if missing := [name for name in only if name not in sets]:
        sys.exit(f"{folder} has no set {', '.join(missing)}: use some of {', '.join(sets) or 'none'}")
    return {name: path for name, path in sets.items() if not only or name in only}


def run(name: str, path: Path, methods: Sequence[str], answer: Backtest, features: Sequence[str] = ("all",)) -> Result:
    """Backtest a set as `tidecast backtest` does by default, and run the methods on the same rows."""
    histories = read_history(path, features=features).accepted
    start = time.perf_counter()
    settled = _settled(histories, answer)
    minutes = (time.perf_counter() - start) / 60
    target = histories[0].features[0] if histories else "value"
    frames = pd.read_csv(path, dtype={"series": str}).groupby("series", sort=False)
    scores = (_score(frame, target, settled.get(str(series), ()), methods) for series, frame in frames)
    return Result(name, tuple(filter(None, scores)), minutes)


def _settled(histories: Sequence[History], answer: Backtest) -> Mapping[str, Sequence[Settled]]:
    split = [history for history in histories if int(TEST * len(history)) > 0]
    return answer(split, TEST, load_settings()).settled if split else {}


def _score(frame: pd.DataFrame, target: str, settled: Sequence[Settled], methods: Sequence[str]) -> Score | None:
    """Return the score of one series; None without a row to score."""
    ts = pd.to_datetime(frame["timestamp"], utc=True).to_numpy("datetime64[ms]").astype(np.int64)
    series = series_of(ts, frame[target].to_numpy(np.float64))
    if not len(scored_rows(series)):
        return None
    by_ts = {row.ts: row.forecast for row in settled}
    made = [by_ts.get(moment) for moment in ts.tolist()]
    answers = np.array([(f.yhat, f.yhat_lower, f.yhat_upper) if f else (None,) * 3 for f in made], dtype=np.float64)
    forecasts = {method: METHODS[method](series) for method in methods if method != LAST_VALUE}
    return score(series, {TIDECAST: answers[:, 0], **forecasts}, answers[:, 1:])


def series_of(ts: NDArray[np.int64], values: Float) -> Series:
    """Split a series for scoring: the test part is the newest `int(0.2 * n)` rows, including missing readings."""
    filled: Float = np.asarray(pd.Series(values).ffill().bfill(), dtype=np.float64)
    cut = len(values) - int(TEST * len(values))
    return Series(filled, np.isfinite(values), cut, season_of(ts, filled, cut))


def chosen_methods(known: Iterable[str], needs: Mapping[str, str], without: Sequence[str]) -> list[str]:
    """Return the methods to run; end the program if one cannot be skipped, or needs a package that is not installed.

    Args:
        known: all methods.
        needs: the package that a method needs.
        without: the methods to skip.
    """
    skippable = [method for method in known if method != LAST_VALUE]
    if unknown := [name for name in without if name not in skippable]:
        sys.exit(f"--without {', '.join(unknown)} cannot be skipped: use some of {', '.join(skippable)}")
    methods = [method for method in known if method not in without]
    if absent := [method for method in methods if method in needs and not find_spec(needs[method])]:
        packages = ", ".join(sorted({needs[method] for method in absent}))
        sys.exit(f"{packages} is not installed: install the extra bench, or pass --without {','.join(absent)}")
    return methods


def _is_set(path: Path) -> bool:
    columns = pd.read_csv(path, nrows=0).columns
    return len(columns) > 2 and columns[0] == "series" and columns[1] == "timestamp"


def _name(path: Path) -> str:
    return path.name.partition(".csv")[0].removesuffix("_open")


def names(listed: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(name.strip() for name in listed.split(",") if name.strip())
