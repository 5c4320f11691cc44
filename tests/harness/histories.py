"""Histories with every kind of gap, the readings of them that a live window accepts, and its filled rows."""

import numpy as np
from hypothesis import strategies as st

from tidecast.online.window import Window

STEP_MS = 1000
# Gaps of all kinds: repeated and earlier times, jitter, some missing steps, long silences.
deltas = st.one_of(
    st.sampled_from([0, -500, 1, STEP_MS, STEP_MS, STEP_MS, 2 * STEP_MS, 3 * STEP_MS, 500 * STEP_MS, 10**11]),
    st.integers(600, 6400),
)
histories = st.lists(st.tuples(deltas, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=60)


def accepted(history: list[tuple[int, float, float]], window: Window, max_gap: int) -> tuple[list[int], list]:
    """Push the readings that the window accepts; return the accepted times and rows."""
    ts = 1_000_000
    kept_ts = []
    kept_rows = []
    for delta, a, b in history:
        ts += delta
        if ts > window.last_ts:
            window.push(ts, np.array([a, b]), max_gap)
            kept_ts.append(ts)
            kept_rows.append([a, b])
        else:
            ts -= min(delta, 0)
    return kept_ts, kept_rows


def filled_in(window: Window, count: int) -> int:
    """Return how many of the newest `count` rows were interpolated."""
    return int(window.filled[window.end - min(count, window.length) : window.end].sum())
