"""What keeps a broken sensor from leading the blend astray: whom to believe after a move far larger than usual.

Such a move is a shock: another unit, or a sensor that fails or comes back. A gross error is not believed at all, so it
makes none (see `gross_errors.py`). The experts go on reading it, some until a season later, and its errors drown
all others in their records. So no error and no distance from the last value counts for more than a few of the usual
largest moves. For some hundred readings after a shock the blend must also have earned its say: reading by reading it
gains or loses against the last value, which answers alone while the loss is too large. The sizes of those readings do
not matter, for after a shock nobody knows what is large.

The usual largest move, 0 where it is not known, is that of `doubt.Moves`.
"""

import math
from dataclasses import dataclass
from typing import Self

SHOCK = 10.0  # usual largest moves: a move beyond is a shock
FARTHEST = 5.0  # usual largest moves: what an error counts for, and how far the forecast lies from the last value
ALERT = 300.0  # readings after a shock
REGRET, REGRET_MOST = 2.0, 5.0  # readings lost to the last value: from where on it answers, and at most


def farthest(usual: float) -> float:
    """Return the distance beyond which nothing counts."""
    return FARTHEST * usual if usual > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Guard:
    """How the blend did since the last shock."""

    alert: float = 0.0  # for how many more readings
    regret: float = 0.0  # readings that the blend has lost to the last value, in balance

    @property
    def distrusts(self) -> bool:
        """Whether the last value answers alone."""
        return self.alert > 0 and self.regret > REGRET

    def answer(self, last: float, blended: float, usual: float) -> float:
        """Return the forecast: the blend, as far as it is believed."""
        if self.distrusts:
            return last
        away = blended - last
        return last + math.copysign(farthest(usual), away) if abs(away) > farthest(usual) else blended

    def learn(self, last: float, blended: float, actual: float, usual: float) -> Self:
        """Add a reading that is believed.

        Args:
            last: the value before it; NaN: none, and nothing is learned.
            blended: the experts' forecast, believed or not; NaN: they are not judged by this reading.
            actual: the reading.
            usual: the usual largest move.
        """
        move, lost = abs(last - actual), abs(blended - actual)
        if not math.isfinite(move):
            return self
        shock = 0 < SHOCK * usual < move
        alert = ALERT if shock else max(0.0, self.alert - 1)
        worse = max(lost, move) if math.isfinite(lost) else 0.0
        balance = (lost - move) / worse if worse > 0 else 0.0
        regret = min(max(0.0, self.regret + balance), REGRET_MOST) if alert > 0 else 0.0
        return type(self)(alert, REGRET_MOST if shock else regret)
