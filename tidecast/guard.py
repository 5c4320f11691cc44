"""What keeps a broken sensor from leading the blend astray: which moves a series usually makes, and whom to believe
after one that is far larger.

Such a move is a shock: a spike, another unit, a sensor that fails or comes back. The experts go on reading it, some
until a season later, and its errors drown all others in their records. So no error and no distance from the last value
counts for more than a few of the usual largest moves. For some hundred readings after a shock the blend must also have
earned its say: reading by reading it gains or loses against the last value, which answers alone while the loss is too
large. The sizes of those readings do not matter, for after a shock nobody knows what is large.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

SHOCK = 10.0  # usual largest moves: a move beyond is a shock
FARTHEST = 5.0  # usual largest moves: what an error counts for, and how far the forecast lies from the last value
FADING = 0.5 ** (1 / 2000)  # the largest move counts half after so many readings
GROWTH = 1.01  # and is exceeded by no more than that in one
WARM_UP = 50.0  # readings after which it is known
ALERT = 300.0  # readings after a shock
REGRET, REGRET_MOST = 2.0, 5.0  # readings lost to the last value: from where on it answers, and at most


@dataclass(frozen=True, slots=True)
class Guard:
    """What is known of a series' moves."""

    largest: float = 0.0  # the usual largest
    moves: float = 0.0  # how many were seen
    alert: float = 0.0  # for how many more readings
    regret: float = 0.0  # readings that the blend has lost to the last value, in balance

    def begin(self, largest: float) -> Self:
        """Take up what the history of a new model tells: the usual largest move, 0 where that is not known."""
        if largest <= 0:
            return self
        return replace(self, largest=max(self.largest, largest), moves=max(self.moves, WARM_UP))

    @property
    def known(self) -> bool:
        """Whether it can be said what is usual."""
        return self.moves >= WARM_UP and self.largest > 0

    @property
    def farthest(self) -> float:
        """Beyond it nothing counts."""
        return FARTHEST * self.largest if self.known else math.inf

    @property
    def distrusts(self) -> bool:
        """Whether the last value answers alone."""
        return self.alert > 0 and self.regret > REGRET

    def answer(self, last: float, blended: float) -> float:
        """The forecast: what the experts said, as far as they are believed."""
        if self.distrusts:
            return last
        away = blended - last
        return last + math.copysign(self.farthest, away) if abs(away) > self.farthest else blended

    def learn(self, last: float, blended: float, actual: float) -> Self:
        """Add a reading.

        Args:
            last: the value before it; NaN: none, and nothing is learned.
            blended: what the experts had said, believed or not; NaN: they are not judged by this reading.
            actual: the reading.
        """
        move, lost = abs(last - actual), abs(blended - actual)
        if not math.isfinite(move):
            return self
        shock = self.known and move > SHOCK * self.largest
        alert = ALERT if shock else max(0.0, self.alert - 1)
        worse = max(lost, move) if math.isfinite(lost) else 0.0
        balance = (lost - move) / worse if worse > 0 else 0.0
        regret = min(max(0.0, self.regret + balance), REGRET_MOST) if alert > 0 else 0.0
        bound = GROWTH * self.largest if self.known else move
        return type(self)(
            max(FADING * self.largest, min(move, bound)), self.moves + 1, alert, REGRET_MOST if shock else regret
        )
