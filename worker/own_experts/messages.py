"""The messages between the worker and the child process that runs experts."""

from dataclasses import dataclass

from tidecast.arrays import Float


@dataclass(frozen=True, slots=True)
class Load:
    """Make the expert of a series and restore its state."""

    series: str
    source: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Predict:
    """Forecast the next value after each window, `(n, rows, features)`."""

    series: str
    windows: Float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to either message.

    Attributes:
        series: the series; empty in the first message, which is sent once the process is ready.
        forecasts: `(n,)`, all finite; None after `Load` and after an error.
        error: what the expert raised; None without an error.
        seconds: how long it took.
    """

    series: str
    forecasts: Float | None
    error: str | None
    seconds: float
