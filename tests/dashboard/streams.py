"""Entries of the `forecasts` stream, made by hand."""

from typing import Any

STEP_MS = 1000


def entry(series: str, turn: int, y: float, yhat: float, **more: Any) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the forecast after reading number `turn` of a series, a second after the one before."""
    at = 1_700_000_000_000 + STEP_MS * turn
    fields = {"series": series, "ts": at + STEP_MS, "yhat": yhat, "level": 0.9, "origin": at, "kind": "naive", "y": y}
    named = {name.encode(): str(value).encode() for name, value in (fields | more).items()}
    return f"{at}-0".encode(), named
