"""Detect gross errors, such as the -9999 of a broken sensor, so that no model learns from them.

A reading is doubted if two conditions hold. It lies more than `FAR` usual largest moves from the last believed one, and
from the newest two values that were confirmed. And it lies outside all known values by more than their range, or on the
other side of zero. Another reading near it, but not the same, confirms it. The experts read the last believed value in
its place; once the series is back, they read a value between those before and after.

The known values are those of the window and of the model's history. Recurring parts of a series lie within them, or are
usual moves, so they are believed. So that values that recur become known, a doubted reading that the next one confirms
takes its place among the rows.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tidecast.arrays import Float

FAR = 3.0  # usual largest moves: a nearer reading is believed
STRAY = 2.0  # rows at either end of a window's sorted values that do not count as known
FEWEST_ROWS = 8.0  # rows of a window before readings are doubted; without a model's history `WARM_UP`
OTHER_SIDE = 2.0  # spans: the least distance of a value on the other side of zero
NEAR = 0.5  # of the distance to the last believed value: a reading nearer than that to the doubted one confirms it
MOST_DOUBTED = 24.0  # doubted readings in a row, after which the next one is believed
PART = 10.0  # moves in a part of a history; the usual largest move is the median of the parts' largest moves
WARM_UP = 50.0  # readings after which the usual largest move is known
FADING = 0.5 ** (1 / 2000)  # the largest move counts half after 2000 readings
SMALLEST_MOVE = float(np.finfo(np.float64).tiny)  # the least guess of a usual largest move, as 0 means not known
GROWTH = 1.01  # and one reading raises it by no more than this factor
Limits = tuple[float, float]  # the lowest and the highest value
NO_LIMITS: Limits = (math.inf, -math.inf)


def usual_move(values: Float, part: int = int(PART)) -> float:
    """Return the usual largest move: the lower median of the parts' largest moves, 0 without a whole part.

    Args:
        values: `(readings,)`.
        part: the number of moves in a part.
    """
    moves = np.abs(np.diff(values))
    parts = moves[len(moves) % part :].reshape(-1, part)
    largest = np.sort(parts.max(axis=1))
    return float(largest[(len(largest) - 1) // 2]) if len(largest) else 0.0


@dataclass(frozen=True, slots=True)
class Moves:
    """The usual size of a series' moves from reading to reading."""

    largest: float = 0.0  # the recent largest move; 0: not known
    seen: int = 0  # readings
    of_model: float = 0.0  # the usual largest move of its model's history; 0: not known

    @property
    def usual(self) -> float:
        """Return the usual largest move; 0: not known."""
        return max(self.largest, self.of_model)

    def learn(self, move: float, rows: Float) -> Self:
        """Return the moves with that of a believed reading; `rows`, `(held,)`, are the believed values before it."""
        seen = self.seen + 1
        usual = self.usual
        if usual > 0:
            largest = max(FADING * self.largest, min(move, GROWTH * usual))
        else:
            largest = usual_move(rows) if seen % WARM_UP == 0 else 0.0
        return replace(self, largest=largest, seen=seen)


def limits(values: Float) -> Limits:
    """Return the lowest and the highest of one or more values, without a few strays at either end."""
    strays = int(min(STRAY, (len(values) - 1) // 2))
    ordered = np.sort(values)
    return float(ordered[strays]), float(ordered[-1 - strays])


def spans_away(known: Limits, y: float) -> float:
    """Return how far a value lies outside the limits, in units of their distance.

    A value on the other side of zero than both limits lies two such spans away at least.
    """
    low, high = known
    beyond = max(low - y, y - high)
    if beyond <= 0:
        return 0.0
    away = beyond / (high - low) if high > low else math.inf
    return max(away, OTHER_SIDE) if y <= 0 < low or high < 0 <= y else away
