"""The shadow test: compare the live errors of a new champion with those of the former one.

The former champion runs on as a shadow, from its own live record. The difference of the two absolute errors is tested
by the method of Diebold & Mariano ("Comparing predictive accuracy", 1995). One step ahead, the differences need no
correction for autocorrelation. The new champion is worse if the mean difference is above zero by `FINAL` standard
errors after all readings of the probation. A champion that is far worse is detected earlier: as in trials of medicines
(Peto et al. 1976), the test is also made on the way, with a higher limit.
"""

import math
from typing import Self

import numpy as np

from tidecast.arrays import Float
from tidecast.wire import Event

FINAL = 2.33  # standard errors: an equally good model is called worse in one test of a hundred
INTERIM = 4.0  # standard errors, on the way: the test is repeated at every reading
FIRST_LOOK = 10  # readings: fewer give no useful standard error
NUMBERS = 7  # stored numbers, beside the record


class Probation:
    """The shadow test of one new champion.

    Attributes:
        version: the champion's version.
        former: the version that it is compared with.
        record: the record of the former champion, `(numbers,)`, see `tidecast/online/kernels/scoring.py`.
        numbers: version, former, readings compared, sum of the differences, sum of their squares, 1 once the
            champion is found worse, and the time of the last reading that the former champion has processed.
    """

    __slots__ = ("numbers", "record")

    def __init__(self, numbers: Float, record: Float) -> None:
        self.numbers = numbers
        self.record = record

    @classmethod
    def of(cls, version: int, former: int, record: Float, last_ts: int) -> Self:
        """Begin a shadow test."""
        return cls(np.array([version, former, 0, 0, 0, 0, last_ts], np.float64), record)

    @property
    def version(self) -> int:
        """Return the champion's version."""
        return int(self.numbers[0])

    @property
    def former(self) -> int:
        """Return the version that the champion is compared with."""
        return int(self.numbers[1])

    @property
    def readings(self) -> int:
        """Return how many readings were compared."""
        return int(self.numbers[2])

    @property
    def to_roll_back(self) -> bool:
        """Return whether the champion was found worse; it stays so until the former one has replaced it."""
        return bool(self.numbers[5])

    @property
    def last_ts(self) -> int:
        """Return the time of the last reading that the former champion has processed, epoch milliseconds."""
        return int(self.numbers[6])

    @last_ts.setter
    def last_ts(self, ts: int) -> None:
        self.numbers[6] = ts

    def compare(self, error: float, shadow_error: float) -> None:
        """Add the errors of both forecasts of a reading; NaN: that model had no forecast."""
        difference = abs(error) - abs(shadow_error)
        if math.isfinite(difference):
            self.numbers[2:5] += (1, difference, difference**2)

    def verdict(self, enough: int) -> bool | None:
        """Return whether the champion is proved, after `enough` readings; None while that is undecided."""
        if self.readings >= min(enough, FIRST_LOOK) and self.standard_errors > (
            FINAL if self.readings >= enough else INTERIM
        ):
            self.numbers[5] = 1
            return False
        return True if self.readings >= enough else None

    @property
    def standard_errors(self) -> float:
        """Return by how many standard errors the champion's mean absolute error is above the former one's."""
        n, total, squares = self.numbers[2:5].tolist()
        if n < 2:
            return 0.0
        mean = total / n
        variance = max(0.0, squares / n - mean**2) * n / (n - 1)
        if variance == 0:
            return math.inf if mean > 0 else 0.0
        return float(mean / math.sqrt(variance / n))

    def event(self, series: str) -> Event:
        """Return the event that reports the verdict."""
        kind = "rolled_back" if self.to_roll_back else "proved"
        detail = (
            f"over {self.readings} readings its mean absolute error less that of version {self.former} was "
            f"{self.numbers[3] / max(1, self.readings):.4g}, {self.standard_errors:.1f} standard errors"
        )
        return Event(kind, detail, series, self.version)
