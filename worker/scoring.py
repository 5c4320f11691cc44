"""How a forecast is scored when its reading arrives, and how wide the next interval must be."""

from dataclasses import dataclass

RATE = 0.1  # how far one reading moves the half-width, in mean errors
MEMORY = 0.02  # the weight of the newest error in the mean error
WIDTH_IN_ERRORS = 2.0  # about how many mean errors a 90 % half-width is (2.06 for a normal distribution)
FIRST_WIDENING = 3.0  # what one known error is worth as a 90 % half-width, cautiously


@dataclass(slots=True)
class Tracker:
    """Half the width of an interval that covers a share `level` of the readings, in three numbers.

    Quantile tracking of Angelopoulos, Candes & Tibshirani, "Conformal PID control" (2023): a miss widens the
    interval by `RATE * level` mean errors, a hit narrows it by `RATE * (1 - level)`, so that in the long run
    a share `level` is covered whatever the errors' distribution does.
    """

    errors: int = 0  # how many forecasts were settled
    half_width: float = 0.0  # in the series' unit
    mean_error: float = 0.0  # exponentially weighted mean of the absolute errors

    def settle(self, error: float, level: float) -> None:
        """Learn from the error of a forecast that has met its reading."""
        size = abs(error)
        if self.errors == 0:
            self.mean_error = self.mean_error or size
            self.half_width = self.half_width or FIRST_WIDENING * size
        self.mean_error += MEMORY * (size - self.mean_error)
        missed = size > self.half_width
        self.half_width = max(0.0, self.half_width + RATE * self.mean_error * (level - (not missed)))
        self.errors += 1

    def begin(self, half_width: float) -> None:
        """Start anew from the residuals of a model's held-out tail: what another expert's errors were is no guide."""
        self.half_width = half_width
        self.mean_error = half_width / WIDTH_IN_ERRORS
        self.errors = 0

    @property
    def known(self) -> float | None:
        """The half-width, None before anything is known of the errors."""
        return self.half_width if self.errors or self.half_width else None


def anomaly_score(error: float, half_width: float | None) -> float | None:
    """|error| in half-widths: above 1 the reading lay outside its interval; None where that has no meaning."""
    if not half_width:
        return None
    return abs(error) / half_width
