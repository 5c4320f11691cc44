"""Which readings are gross errors, such as the -9999 of a broken sensor: nobody should learn from them.

A reading is not believed if it lies more than `FAR` usual largest moves from the last one believed, and outside all
values known by more than these are apart, or on the other side of zero. Another reading near it, but not the same,
confirms it. The experts read the last believed value in its place, and once the series is back a value between those
before and after.

Known are the values of the window and those of the model's history. What recurs as a part of a series lies within them,
or is a usual move; so it is believed.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tidecast.models.time_grid import Float

FAR = 3.0  # usual largest moves: a nearer reading is believed
STRAY = 2.0  # rows at either end of a window's values that do not count among all that it holds
FEWEST_ROWS = 8.0  # of a window, beside a model's history, that tell which values a series has; without one `WARM_UP`
OTHER_SIDE = 2.0  # spans: so far away a value on the other side of zero is at least
NEAR = 0.5  # of the way from the last believed value: a reading so much nearer to the one before confirms it
STUCK = 24.0  # readings in a row that are not believed, after which the next one is
PART = 10.0  # moves in a part of a history, of whose largest moves the median is the usual one
WARM_UP = 50.0  # readings after which it is known
FADING = 0.5 ** (1 / 2000)  # the largest move counts half after so many readings
GROWTH = 1.01  # and is exceeded by no more than that in one
# As the compiled loop takes them, which is compiled anew only if its own file changes.
RULE = (FAR, STRAY, FEWEST_ROWS, OTHER_SIDE, NEAR, STUCK, PART, WARM_UP, FADING, GROWTH)


Limits = tuple[float, float]  # the lowest and the highest value
NO_LIMITS: Limits = (math.inf, -math.inf)


def usual_move(values: Float, part: int = int(PART)) -> float:
    """Return the usual largest move: the lower median of the largest moves of parts, 0 without a part.

    Args:
        values: `(readings,)`.
        part: moves in each.
    """
    moves = np.abs(np.diff(values))
    parts = moves[len(moves) % part :].reshape(-1, part)
    largest = np.sort(parts.max(axis=1))
    return float(largest[(len(largest) - 1) // 2]) if len(largest) else 0.0


@dataclass(frozen=True, slots=True)
class Moves:
    """How far a series moves from reading to reading."""

    largest: float = 0.0  # of late; 0: not known
    seen: int = 0  # readings
    of_model: float = 0.0  # the usual largest of its model's history; 0: not known

    @property
    def usual(self) -> float:
        """The usual largest move; 0: not known."""
        return max(self.largest, self.of_model)

    def learn(self, move: float, rows: Float) -> Self:
        """Add a move of a believed reading; `rows`, `(held,)`, are the believed values before that."""
        seen, usual = self.seen + 1, self.usual
        if usual > 0:
            largest = max(FADING * self.largest, min(move, GROWTH * usual))
        else:
            largest = usual_move(rows) if seen % WARM_UP == 0 else 0.0
        return replace(self, largest=largest, seen=seen)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of a series when a reading comes."""

    moves: Moves = Moves()
    of_model: Limits = NO_LIMITS  # of the values of its model's history
    run: int = 0  # readings in a row that were not believed
    newest: float = 0.0  # of those

    def take(self, rows: Float, y: float) -> tuple[Self, Float]:
        """Add a reading: it is not believed if `run` is above 0 then.

        Args:
            rows: `(held,)` what the experts read before it, newest last; at least one.
            y: the reading.

        Returns:
            What is known then, and what the experts read, `(held + 1,)`.
        """
        moves, move = self.moves, abs(y - float(rows[-1]))
        enough = len(rows) >= (FEWEST_ROWS if self.of_model != NO_LIMITS else WARM_UP)
        far = move > FAR * moves.usual > 0 and enough
        outside = far and spans_away(_joined(limits(rows), self.of_model), y) > 1
        if outside and not self._is_confirmed(rows, y, move):
            moves = replace(moves, seen=moves.seen + 1)
            return replace(self, moves=moves, run=self.run + 1, newest=y), np.append(rows, rows[-1])
        moves = moves.learn(move, rows)
        read = np.append(rows, y)
        if self.run < len(rows) and not outside:
            read[-self.run - 2 :] = np.linspace(read[-self.run - 2], y, self.run + 2)
        return replace(self, moves=moves, run=0), read

    def _is_confirmed(self, rows: Float, y: float, move: float) -> bool:
        if self.run == 0:
            return False
        apart = abs(y - self.newest)
        before = rows[: len(rows) - self.run]
        stood_still = len(before) > 1 and before[-1] == before[-2]  # then the same value again is a usual one
        return self.run >= STUCK or 0 < apart < NEAR * move or (apart == 0 and bool(stood_still))


def limits(values: Float) -> Limits:
    """Return the lowest and the highest of some values but for a few strays at either end; at least one value."""
    strays = int(min(STRAY, (len(values) - 1) // 2))
    ordered = np.sort(values)
    return float(ordered[strays]), float(ordered[-1 - strays])


def spans_away(known: Limits, y: float) -> float:
    """Return how far a value lies outside the limits, in units of their distance.

    On the other side of zero than both it lies two such spans away at least.
    """
    low, high = known
    beyond = max(low - y, y - high)
    if beyond <= 0:
        return 0.0
    away = beyond / (high - low) if high > low else math.inf
    return max(away, OTHER_SIDE) if y <= 0 < low or high < 0 <= y else away


def _joined(first: Limits, second: Limits) -> Limits:
    return min(first[0], second[0]), max(first[1], second[1])
