"""The usual moves of a series from reading to reading, and whether its tail moves unlike them."""

from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Float

UNUSUAL_MOVE, UNUSUAL_MEAN = 5.0, 2.5  # times the usual: with larger moves a tail is unlike the history before


@dataclass(frozen=True, slots=True)
class MoveStats:
    """The usual moves of a series from reading to reading before its tail."""

    move: float  # the mean absolute change in most of the history
    largest: float  # the largest absolute change in most of the history
    broken: bool  # whether the tail moves unlike that


def move_stats(y: Float, tail: int) -> MoveStats:
    """Compare the moves of the tail with those of earlier parts of the same length.

    The median over the parts is used, so that up to half of the history may be unusual itself. A tail is unlike them
    if its largest move (a spike, another unit) or its mean move (noise) is far larger than theirs. A tail that stands
    still does no harm: the last value is the best forecast there.

    Args:
        y: `(readings,)`.
        tail: the reading at which the tail begins.
    """
    moves = np.abs(np.diff(y))  # the move at index `tail - 1` leads into the tail
    before = moves[: tail - 1]
    newest = moves[tail - 1 :]
    size = max(1, min(len(newest), len(before)))
    parts = before[len(before) % size :].reshape(-1, size)
    usual = float(np.median(parts.mean(axis=1)))
    largest = float(np.median(parts.max(axis=1)))
    broken = newest.max() > UNUSUAL_MOVE * largest or newest.mean() > UNUSUAL_MEAN * usual
    return MoveStats(usual or np.inf, largest, bool(broken))
