"""Real series for what is measured on them: of every set of a directory, univariate, under names of their own."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy import data_sets
from tidecast.files.history import History, read_history

VARIABLE = "BENCHMARK_DATA"
TARGET = "value"


def named_data() -> Path | None:
    """The directory of sets that the environment names."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def real_series(folder: Path, least: int, newest: int) -> list[History]:
    """Every series of at least so many readings, its newest ones, in the order of sets and names.

    Args:
        folder: with a CSV file for each set, as `benchmarks.accuracy` reads it.
        least: readings that a series needs.
        newest: readings of each at most.
    """
    found = [(name, one) for name, path in data_sets(folder).items() for one in read_history(path, features=()).found]
    return [
        replace(
            one,
            series=f"{name}/{one.series}",
            features=(TARGET,),
            ts=one.ts[-newest:],
            values=one.values[-newest:, :1],
        )
        for name, one in found
        if len(one) >= least
    ]


def spread(histories: Sequence[History], count: int) -> list[History]:
    """So many of them, evenly from first to last: each set in proportion to its size."""
    if len(histories) <= count:
        return list(histories)
    return [histories[int((i + 0.5) * len(histories) / count)] for i in range(count)]
