"""The outlier guard: protect the blend from a broken sensor, after a move far larger than usual.

Such a move is a shock: another unit, or a sensor that fails or comes back. Gross errors are ignored and cause no shock
(see `gross_errors.py`). After a shock the experts still read its values, some of them until a season later, and the
large errors dominate their records. Therefore errors, and distances from the last value, are limited to a few usual
largest moves. For some hundred readings after a shock the blend is also watched: at each reading it gains or loses
against the last value, and the last value is the forecast while the loss is too large. Gains and losses are relative,
because after a shock it is not known which sizes are large.

The usual largest move, 0 where it is not known, comes from `gross_errors.Moves`.
"""

import math
from dataclasses import dataclass
from typing import Self

SHOCK = 10.0  # usual largest moves: a larger move is a shock
FARTHEST = 5.0  # usual largest moves: the limit of errors, and of the forecast's distance from the last value
ALERT = 300.0  # readings after a shock during which the blend is watched
REGRET, REGRET_MOST = 2.0, 5.0  # lost readings: above REGRET the last value is the forecast; REGRET_MOST is the maximum


def farthest(usual: float) -> float:
    """Return the limit of errors and distances; infinity while the usual move is not known."""
    return FARTHEST * usual if usual > 0 else math.inf


@dataclass(frozen=True, slots=True)
class OutlierGuard:
    """The balance of the blend since the last shock."""

    alert: float = 0.0  # readings for which the blend is still watched
    regret: float = 0.0  # readings that the blend has lost to the last value, less those that it won

    @property
    def distrusts(self) -> bool:
        """Return whether the last value alone is the forecast."""
        return self.alert > 0 and self.regret > REGRET

    def answer(self, last: float, blended: float, usual: float) -> float:
        """Return the forecast: the blend within its limits, or the last value while the blend is distrusted."""
        if self.distrusts:
            return last
        away = blended - last
        return last + math.copysign(farthest(usual), away) if abs(away) > farthest(usual) else blended

    def learn(self, last: float, blended: float, actual: float, usual: float) -> Self:
        """Return the guard after one more reading, which must not be doubted.

        Args:
            last: the value before it; NaN: there was none, and the guard does not change.
            blended: the experts' forecast, used or not; NaN: they are not judged by this reading.
            actual: the reading.
            usual: the usual largest move.
        """
        move = abs(last - actual)
        lost = abs(blended - actual)
        if not math.isfinite(move):
            return self
        shock = 0 < SHOCK * usual < move
        alert = ALERT if shock else max(0.0, self.alert - 1)
        worse = max(lost, move) if math.isfinite(lost) else 0.0
        balance = (lost - move) / worse if worse > 0 else 0.0
        regret = min(max(0.0, self.regret + balance), REGRET_MOST) if alert > 0 else 0.0
        return type(self)(alert, REGRET_MOST if shock else regret)
