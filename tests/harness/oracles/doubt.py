"""The rule that decides whether a reading is doubted, written plainly: the tests compare the compiled loop with it."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from tidecast.arrays import Float
from tidecast.models.gross_errors import (
    FAR,
    FEWEST_ROWS,
    MOST_DOUBTED,
    NEAR,
    NO_LIMITS,
    WARM_UP,
    Limits,
    Moves,
    limits,
    spans_away,
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """The knowledge of a series that decides whether the next reading is doubted."""

    moves: Moves = field(default_factory=Moves)
    of_model: Limits = NO_LIMITS  # limits of the values of its model's history
    run: int = 0  # doubted readings in a row
    newest: float = 0.0  # the newest doubted reading
    recurring: tuple[float, ...] = ()  # the newest readings that were doubted and then believed, newest first

    def take(self, rows: Float, y: float) -> tuple[Self, Float]:
        """Add a reading; it is doubted if the new `run` is above 0.

        Args:
            rows: `(held,)` the rows that the experts read before it, newest last; at least one.
            y: the reading.

        Returns:
            The new knowledge, and the rows that the experts read now, `(held + 1,)`.
        """
        moves = self.moves
        move = abs(y - float(rows[-1]))
        enough = len(rows) >= (FEWEST_ROWS if self.of_model != NO_LIMITS else WARM_UP)
        away = min(move, *(abs(y - value) for value in self.recurring), np.inf)
        far = away > FAR * moves.usual > 0 and enough
        outside = far and spans_away(_joined(limits(rows), self.of_model), y) > 1
        confirmed = far and self._is_confirmed(rows, y, move)
        if outside and not confirmed and self.run < MOST_DOUBTED:
            moves = replace(moves, seen=moves.seen + 1)
            return replace(self, moves=moves, run=self.run + 1, newest=y), np.append(rows, rows[-1])
        moves = moves.learn(move, rows)
        read = np.append(rows, y)
        if confirmed:
            read[-2] = self.newest
        elif self.run < len(rows) and not outside:
            read[-self.run - 2 :] = np.linspace(read[-self.run - 2], y, self.run + 2)
        recurring = (self.newest, *self.recurring)[:2] if confirmed or outside else self.recurring
        return replace(self, moves=moves, run=0, recurring=recurring), read

    def _is_confirmed(self, rows: Float, y: float, move: float) -> bool:
        if self.run == 0:
            return False
        apart = abs(y - self.newest)
        before = rows[: len(rows) - self.run]
        stood_still = len(before) > 1 and before[-1] == before[-2]  # repeating a value is usual for this series
        return 0 < apart < NEAR * move or (apart == 0 and bool(stood_still))


def _joined(first: Limits, second: Limits) -> Limits:
    return min(first[0], second[0]), max(first[1], second[1])
