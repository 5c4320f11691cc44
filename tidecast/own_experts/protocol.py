"""The protocol of an expert of the user's own."""

from typing import Protocol, runtime_checkable

from tidecast.arrays import Float


@runtime_checkable
class Expert(Protocol):
    """A model that forecasts the next value of a series from its newest rows.

    A window is `(rows, features)`, the newest row last, without gaps or NaN; column 0 is the target. All values are in
    the series' unit. An expert may also have a method `update(window)`. The worker then calls it with each new window
    before the forecast, so that the expert can learn from the newest row; after a restart it begins from `state` again.

    Attributes:
        rows: how many rows a window has.
    """

    rows: int

    def fit(self, windows: Float, targets: Float) -> None:
        """Learn from windows, `(n, rows, features)`, and the value that followed each, `(n,)`."""

    def predict(self, windows: Float) -> Float:
        """Return the next value after each window, `(n,)`."""

    def state(self) -> bytes:
        """Return the learned state, as bytes for the model file."""

    def restore(self, state: bytes) -> None:
        """Continue with a state that `state` has returned."""
