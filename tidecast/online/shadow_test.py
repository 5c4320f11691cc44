"""Whether a new champion keeps what its gate promised: its live errors beside those that the former would have made.

The former champion goes on in the shadow, from its own live record. The difference of the two absolute errors is tested
as Diebold & Mariano do ("Comparing predictive accuracy", 1995; of one step ahead their differences need no correction
for autocorrelation): a mean that is above zero by `FINAL` standard errors after all readings of the probation says that
the new one is worse. What is far worse need not answer so long: as in trials of medicines (Peto et al. 1976) one looks
on the way too, but asks for more.
"""

import math
from typing import Self

import numpy as np

from tidecast.models.time_grid import Float
from tidecast.wire import Event

FINAL = 2.33  # standard errors: of two equal models one in a hundred is called worse
INTERIM = 4.0  # on the way, where one looks at every reading
FIRST_LOOK = 10  # readings: of fewer a standard error is none
NUMBERS = 7  # that are stored, beside the record


class Probation:
    """A champion on trial.

    Attributes:
        version: the champion's.
        former: the version that it is compared with.
        record: the former one's, `(numbers,)`, see `tidecast/online/kernels/scoring.py`.
        numbers: version, former, readings compared, the sums of the differences and of their squares, 1 once condemned,
            and the time of the reading that the former one has heard last.
    """

    __slots__ = ("numbers", "record")

    def __init__(self, numbers: Float, record: Float) -> None:
        self.numbers = numbers
        self.record = record

    @classmethod
    def of(cls, version: int, former: int, record: Float, heard_ts: int) -> Self:
        """Begin one."""
        return cls(np.array([version, former, 0, 0, 0, 0, heard_ts], np.float64), record)

    @property
    def version(self) -> int:
        """The champion's."""
        return int(self.numbers[0])

    @property
    def former(self) -> int:
        """The version that it is compared with."""
        return int(self.numbers[1])

    @property
    def readings(self) -> int:
        """How many were compared."""
        return int(self.numbers[2])

    @property
    def condemned(self) -> bool:
        """Whether it was found worse; it is until the former one answers again."""
        return bool(self.numbers[5])

    @property
    def heard_ts(self) -> int:
        """The time of the reading that the former champion has heard last, epoch milliseconds."""
        return int(self.numbers[6])

    @heard_ts.setter
    def heard_ts(self, ts: int) -> None:
        self.numbers[6] = ts

    def compare(self, error: float, shadow_error: float) -> None:
        """Learn from a reading that both had forecast; NaN: one had not."""
        difference = abs(error) - abs(shadow_error)
        if math.isfinite(difference):
            self.numbers[2:5] += (1, difference, difference**2)

    def verdict(self, enough: int) -> bool | None:
        """Whether the champion is proved, after `enough` readings; None while that is open."""
        if self.readings >= min(enough, FIRST_LOOK) and self.standard_errors > (
            FINAL if self.readings >= enough else INTERIM
        ):
            self.numbers[5] = 1
            return False
        return True if self.readings >= enough else None

    @property
    def standard_errors(self) -> float:
        """By how many standard errors the champion's mean absolute error lies above the former one's."""
        n, total, squares = self.numbers[2:5].tolist()
        if n < 2:
            return 0.0
        mean = total / n
        variance = max(0.0, squares / n - mean**2) * n / (n - 1)
        if variance == 0:
            return math.inf if mean > 0 else 0.0
        return float(mean / math.sqrt(variance / n))

    def event(self, series: str) -> Event:
        """What is told once there is a verdict."""
        kind = "rolled_back" if self.condemned else "proved"
        detail = (
            f"over {self.readings} readings its mean absolute error less that of version {self.former} was "
            f"{self.numbers[3] / max(1, self.readings):.4g}, {self.standard_errors:.1f} standard errors"
        )
        return Event(kind, detail, series, self.version)
