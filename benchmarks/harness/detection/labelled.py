"""Series with labelled anomalies, and the score of the Numenta Anomaly Benchmark, standard profile.

The rules are those of Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms" (ICMLA 2015). Each anomaly
has a window. The first alarm in a window counts between 0 and 1, the more the earlier. A false alarm costs up to .11,
less if it comes shortly after a window. A missed window costs 1. The first 15 % of a series are not scored.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy import data_sets
from tidecast.arrays import Bools, Float, Int64
from tidecast.files.history import History

FALSE_ALARM = 0.11
UNSCORED, UNSCORED_MOST = 0.15, 750  # share of a series' first readings, and readings at most
STEEPNESS = 5.0  # of the sigmoid
FADED = 3.0  # lengths of a window after which a false alarm costs everything
TARGET = "value"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series and its labelled windows.

    Attributes:
        history: the series, as it was measured.
        windows: `(windows, 2)` the first and the last time of each, epoch milliseconds, in their order.
    """

    history: History
    windows: Int64


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The score of alarms: 0 without any, 100 with one at the begin of each window and nowhere else.

    Attributes:
        score: the standard profile.
        found: windows with an alarm.
        windows: all windows.
        false_alarms: alarms outside of windows.
    """

    score: float
    found: int
    windows: int
    false_alarms: int


def labelled_series(folder: Path) -> list[Labelled]:
    """Return the labelled series of a directory: windows from `nab*_windows.json`, readings from its sets."""
    windows = {
        name: np.array(listed, "datetime64[ms]").astype(np.int64).reshape(-1, 2)
        for path in sorted(folder.glob("nab*_windows.json"))
        for name, listed in json.loads(path.read_text()).items()
    }
    paths = [path for name, path in data_sets(folder).items() if name.startswith("nab")] if windows else []
    return [Labelled(h, windows[h.series]) for path in paths for h in _measured(path) if h.series in windows]


def _measured(path: Path) -> Iterable[History]:
    """Yield the series of a set with all values as they were measured, gross errors included."""
    for name, frame in pd.read_csv(path, dtype={"series": str}).groupby("series", sort=False):
        ts = pd.to_datetime(frame["timestamp"], utc=True).to_numpy("datetime64[ms]").astype(np.int64)
        yield History(str(name), (TARGET,), ts, frame.iloc[:, -1:].to_numpy(np.float64))


def score_alarms(series: Iterable[tuple[Labelled, Bools]]) -> LabelScore:
    """Score the alarms of series, `(readings,)` each."""
    total = 0.0
    windows_found = 0
    windows = 0
    false_alarms = 0
    for labelled, alarms in series:
        values, inside = values_of(labelled.history.ts, labelled.windows)
        scored = np.arange(len(values)) >= min(math.floor(UNSCORED * len(values)), UNSCORED_MOST)
        counted = alarms & scored
        best = [values[counted & (inside == window)].max(initial=-1.0) for window in range(len(labelled.windows))]
        total += sum(best) + values[counted & (inside < 0)].sum()
        windows_found += sum(value > -1 for value in best)
        windows += len(best)
        false_alarms += int((counted & (inside < 0)).sum())
    return LabelScore(
        100 * (total + windows) / (2 * windows) if windows else math.nan, windows_found, windows, false_alarms
    )


def values_of(ts: Int64, windows: Int64) -> tuple[Float, Int64]:
    """Return how much an alarm at each reading counts, and its window, -1 outside, `(readings,)` each."""
    values = np.full(len(ts), -FALSE_ALARM)
    inside = np.full(len(ts), -1)
    firsts = np.searchsorted(ts, windows[:, 0])
    ends = np.searchsorted(ts, windows[:, 1], "right")
    for window, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        places = np.arange(first, end)
        values[first:end] = _sigmoid((places - end) / (end - first)) / _sigmoid(-1.0)
        inside[first:end] = window
        following = np.arange(end, firsts[window + 1] if window + 1 < len(firsts) else len(ts))
        past = (following - end + 1) / max(1, end - first - 1)
        values[following] = FALSE_ALARM * np.where(past > FADED, -1.0, _sigmoid(np.minimum(past, FADED)))
    return values, inside


def _sigmoid(x: Float | float) -> Float:
    return 2 / (1 + np.exp(STEEPNESS * np.asarray(x))) - 1
