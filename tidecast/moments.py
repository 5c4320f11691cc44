"""Times as people and the wire read them."""

from datetime import UTC, datetime, timedelta

FIRST_CLEAR_MS = 5_000_000_000  # a smaller number on the wire may be taken for seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(ms: float) -> str:
    """Epoch milliseconds in ISO-8601, to the second: `2026-03-01T03:00:10Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def utc_datetime(ms: int) -> datetime:
    """Convert epoch milliseconds to a datetime, exactly."""
    return _EPOCH + timedelta(milliseconds=ms)


def wire_time(ms: int) -> int | datetime:
    """Choose how to send a time whose unit is known: a number that looks like seconds goes as a datetime."""
    return ms if ms >= FIRST_CLEAR_MS else utc_datetime(ms)


def wire_text(ms: int) -> str:
    """Write a time whose unit is known as a wire field."""
    time = wire_time(ms)
    return str(time) if isinstance(time, int) else time.isoformat()
