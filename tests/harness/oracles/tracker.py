"""The trackers of the intervals' widths in a series' record, with names for their numbers."""

import math
from typing import Self

import numpy as np

from tidecast.arrays import Float
from tidecast.online.kernels.interval_widths import begin, track
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.series_record import trackers_of
from tidecast.online.series.state import SeriesState
from tidecast.wire.state_format import TRACKER


class Tracker:
    """The half-width of an interval, on its numbers in a record; the compiled loops update it.

    Args:
        errors: the number of errors behind the half-width; a half-width that came with a model counts as eight.
        half_width: in the series' unit.
        mean_error: exponentially weighted mean of the absolute errors; each error counts as five means at most.
        pending: the half-width of the forecast that the next reading will settle; None: it had none.
    """

    def __init__(
        self, errors: int = 0, half_width: float = 0.0, mean_error: float = 0.0, pending: float | None = None
    ) -> None:
        self._use(np.array([math.nan if pending is None else pending, errors, half_width, mean_error]))

    def _use(self, numbers: Float) -> None:
        self.numbers = numbers
        self._fields = numbers.view(TRACKER)
        self._address = address_of(numbers)

    @classmethod
    def on(cls, numbers: Float) -> Self:
        """Return a tracker on the numbers of a `TRACKER`, without copying them."""
        tracker = cls.__new__(cls)
        tracker._use(numbers)
        return tracker

    def _field(self, name: str) -> float:
        return float(self._fields[name][0])

    @property
    def pending(self) -> float | None:
        """Return the half-width of the forecast that the next reading will settle; None: it had none."""
        half_width = self._field("pending")
        return None if math.isnan(half_width) else half_width

    @property
    def errors(self) -> int:
        """Return the number of errors behind the half-width."""
        return int(self._field("errors"))

    @property
    def half_width(self) -> float:
        """Return the half-width in the series' unit."""
        return self._field("half_width")

    @property
    def mean_error(self) -> float:
        """Return the exponentially weighted mean of the absolute errors."""
        return self._field("mean_error")

    @property
    def known(self) -> float | None:
        """Return the half-width, None before any error is known."""
        return self.half_width if self.errors or self.half_width else None

    def update(self, error: float, level: float, *, still: bool = False) -> None:
        """Update the tracker with the error of a settled forecast; `still`: the reading equals the one before it."""
        track(self._address, error, level, still)

    def begin(self, half_width: float) -> None:
        """Reset to the half-width on a model's held-out tail: errors of the previous model do not apply."""
        begin(self._address, half_width)


def trackers_in(state: SeriesState) -> list[Tracker]:
    """Return an interval tracker for each level, on the record's numbers."""
    return [Tracker.on(numbers) for numbers in trackers_of(state.record, state.levels)]
