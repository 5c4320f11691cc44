"""Parse and format points in time: one parser for every option and setting."""

import re
from datetime import UTC, datetime, timedelta

from tidecast.date_numbers import why_no_epoch
from tidecast.durations import has_units, seconds_of
from tidecast.errors import SettingsError

_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}"  # a date
    r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?",  # perhaps a time and its offset
    re.ASCII,
)
_EPOCH_MS = re.compile(r"[0-9]{1,15}")
MOMENT_FORMS = (
    "write how long ago it is, as 7d or 12h, a date such as 2026-03-01, a time such as 2026-03-01T12:00Z, "
    "or epoch milliseconds"
)
FIRST_LIKELY_MS = 100_000_000_000  # 1973: a smaller number from a user is probably a duration without its unit
FIRST_CLEAR_MS = 5_000_000_000  # a smaller number on the wire could be read as seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(ms: float) -> str:
    """Write epoch milliseconds in ISO-8601, to the second: `2026-03-01T03:00:10Z`."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):  # before the year 1, or after 9999
        return f"{ms:.0f} ms after 1970"


def utc_datetime(ms: int) -> datetime:
    """Convert epoch milliseconds to a datetime, exactly."""
    return _EPOCH + timedelta(milliseconds=ms)


def wire_time(ms: int) -> int | datetime:
    """Return a time in milliseconds as it should be sent: as a datetime if the number would look like seconds."""
    return ms if ms >= FIRST_CLEAR_MS else utc_datetime(ms)


def wire_text(ms: int) -> str:
    """Format a time in milliseconds as a wire field."""
    time = wire_time(ms)
    return str(time) if isinstance(time, int) else time.isoformat()


def moment_ms(text: str, now_ms: int, name: str = "time") -> int:
    """Parse a time in the past to epoch milliseconds: a duration ago, an ISO-8601 date or time, or epoch milliseconds.

    A date or time without an offset is in UTC.

    Args:
        text: the time.
        now_ms: the time now, epoch milliseconds.
        name: the option of the time, for the message.

    Raises:
        SettingsError: the text is not a time, looks like seconds, or is in the future.
    """
    if has_units(text):
        return max(0, now_ms - round(1000 * seconds_of(text, name)))
    is_number = bool(_EPOCH_MS.fullmatch(text))
    ms = epoch_ms(text, name) if is_number else _iso_ms(text, name)
    if is_number and 0 < ms < FIRST_LIKELY_MS:
        raise SettingsError(f"{name} {text!r} has no unit: {MOMENT_FORMS}")
    if ms > now_ms:
        raise SettingsError(f"{name} {text!r} is in the future: {MOMENT_FORMS}")
    return max(0, ms)


def epoch_ms(text: str, name: str) -> int:
    """Parse digits as epoch milliseconds.

    Raises:
        SettingsError: the digits look like seconds, or like a date.
    """
    ms = int(text)
    if 1_000_000_000 <= ms < FIRST_CLEAR_MS:
        raise SettingsError(f"{name} {text!r} looks like seconds: write milliseconds, {text}000")
    if why := why_no_epoch(ms):
        raise SettingsError(f"{name} {text!r} {why}")
    return ms


def _iso_ms(text: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(text) if _ISO.fullmatch(text) else None
    except ValueError as exc:  # a day that is not in the calendar
        raise SettingsError(f"{name} {text!r} is not a time ({exc}): {MOMENT_FORMS}") from exc
    if moment is None:
        raise SettingsError(f"{name} {text!r} is not a time: {MOMENT_FORMS}")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
