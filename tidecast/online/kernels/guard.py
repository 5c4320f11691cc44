"""The outlier guard of one series, with the constants of `online/outlier_guard.py`."""

import math
from typing import Any

import numpy as np

from tidecast.arrays import Float
from tidecast.models.gross_errors import SMALLEST_MOVE
from tidecast.online.kernels.blend import trust_last_value
from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.outlier_guard import ALERT, FARTHEST, GUESSED_SHOCK, REGRET, REGRET_MOST, SHOCK, UNTRAINED_SHOCK


@part_exactly
def farthest(usual: float) -> float:
    """Return the limit of errors and distances; infinity while the usual move is not known.

    A guess of the usual move, below 0, limits them too.
    """
    return FARTHEST * abs(usual) if usual != 0 else np.inf


@part_exactly
def guarded_forecast(guard: Any, last: float, blended: float, usual: float, weights: Float) -> float:
    """Return the blend within its limits, or the last value with all the weight while the blend loses."""
    guard.blended = blended
    if guard.alert > 0 and guard.regret > REGRET:
        trust_last_value(weights)
        return last
    away = blended - last
    most = farthest(usual)
    if abs(away) <= most:
        return blended
    # A forecast beside the last value, even by 1e-307, would be an error of a series that does not move.
    return last if abs(usual) <= SMALLEST_MOVE else last + math.copysign(most, away)


@part_exactly
def watch(guard: Any, last: float, blended: float, actual: float, usual: float, trained: bool) -> None:
    """Update the guard with a reading, in place.

    Args:
        guard: the guard's numbers in the record.
        last: the value before the reading; NaN: there was none, and the guard does not change.
        blended: the experts' forecast, used or not; NaN: they are not judged by this reading.
        actual: the reading, which must not be doubted.
        usual: the usual largest move, or a guess of it below 0.
        trained: whether the series has a model.
    """
    known_shock = SHOCK if trained else UNTRAINED_SHOCK
    move = abs(last - actual)
    lost = abs(blended - actual)
    if not math.isfinite(move):
        return
    shock = 0 < known_shock * usual < move or (usual < -SMALLEST_MOVE and move > -GUESSED_SHOCK * usual)
    guard.alert = ALERT if shock else max(0.0, guard.alert - 1)
    worse = max(lost, move) if math.isfinite(lost) else 0.0
    balance = (lost - move) / worse if worse > 0 else 0.0
    regret = min(max(0.0, guard.regret + balance), REGRET_MOST) if guard.alert > 0 else 0.0
    guard.regret = REGRET_MOST if shock else regret
