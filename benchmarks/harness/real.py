"""Real series for benchmarks: the series of every set in a directory, univariate and with unique names."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy import data_sets, names
from tidecast.files.history import History, read_history

VARIABLE = "BENCHMARK_DATA"
TARGET = "value"


def named_data() -> Path | None:
    """Return the directory of sets from the environment variable, or None."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def data_options(parser: argparse.ArgumentParser, skippable: Sequence[str]) -> None:
    """Add the options of the sets, the series and the other methods, which `skippable` names."""
    parser.add_argument("--data", type=Path, default=named_data(), help="a directory of CSV files")
    parser.add_argument("--only", type=names, default=(), help="sets, with commas: file names without _open.csv.gz")
    parser.add_argument("--without", type=names, default=(), help=f"methods to skip: {', '.join(skippable)}")
    parser.add_argument("--series", type=int, help="of each set at most, evenly chosen; all when left out")
    parser.add_argument("--kept", type=Path, help="a directory for the other methods' forecasts, which stay the same")


def real_series(folder: Path, least: int, newest: int) -> list[History]:
    """Return the newest readings of every series that is long enough, in the order of sets and names.

    Args:
        folder: with a CSV file for each set, as `benchmarks.accuracy` reads it.
        least: readings that a series needs.
        newest: readings of each at most.
    """
    histories = [
        (name, history)
        for name, path in data_sets(folder).items()
        for history in read_history(path, features=()).accepted
    ]
    return [
        replace(
            history,
            series=f"{name}/{history.series}",
            features=(TARGET,),
            ts=history.ts[-newest:],
            values=history.values[-newest:, :1],
        )
        for name, history in histories
        if len(history) >= least
    ]


def spread(histories: Sequence[History], count: int) -> list[History]:
    """Return `count` of the histories, evenly from first to last, so that each set is represented by its size."""
    if len(histories) <= count:
        return list(histories)
    return [histories[int((i + 0.5) * len(histories) / count)] for i in range(count)]
