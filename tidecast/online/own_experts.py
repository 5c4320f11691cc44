"""The calls of experts of the users' own; a runner answers them, so that their code stays out of the forecaster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tidecast.arrays import Float
from tidecast.models.own_model import OwnModel


@dataclass(frozen=True, slots=True)
class OwnCall:
    """The windows of one series for which its expert is to forecast the next value.

    Attributes:
        series: the series.
        version: of its model.
        model: the fitted expert.
        windows: `(n, rows, features)`, in the order of the readings.
    """

    series: str
    version: int
    model: OwnModel
    windows: Float


@dataclass(frozen=True, slots=True)
class OwnFailure:
    """An expert that raised an error, answered too late or gave no number; it is not called for a while.

    Attributes:
        series: the series.
        reason: a sentence with the remedy.
    """

    series: str
    reason: str


class OwnRunner(Protocol):
    """Calls experts of the users' own."""

    def forecast(self, calls: Sequence[OwnCall]) -> tuple[list[Float], list[OwnFailure]]:
        """Return the forecasts of each call, `(n,)`, NaN for a missing one, and the experts that failed."""
