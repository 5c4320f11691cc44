"""Times as people read them."""

from datetime import UTC, datetime


def utc_text(ms: float) -> str:
    """Epoch milliseconds in ISO-8601, to the second: `2026-03-01T03:00:10Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
