"""Parse and format durations: one form for every setting and option, and seconds in code."""

import re

from tidecast.errors import SettingsError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

_UNITS_MS = {"w": 7 * DAY_MS, "d": DAY_MS, "h": HOUR_MS, "m": 60_000, "s": 1000, "ms": 1}
_PART = re.compile(r"([0-9]{1,6})(ms|[smhdw])")
_PARTS = re.compile(r"(?:[0-9]{1,6}(?:ms|[smhdw]))+")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
LONGEST_MS = 999_999 * _UNITS_MS["d"]
DURATION_FORMS = "write numbers with units, such as 7d, 1h30m, 45s or 250ms, or a plain number of seconds"


def has_units(text: str) -> bool:
    """Return whether a text is a duration with units, such as `1h30m`."""
    return bool(_PARTS.fullmatch(text))


def seconds_of(text: str, name: str = "duration") -> float:
    """Parse a duration such as `7d`, `1h30m`, `250ms` or `0.5` to seconds; the units are w, d, h, m, s and ms.

    Args:
        text: the duration; a number without a unit is in seconds.
        name: the setting or option, for the message.

    Raises:
        SettingsError: the text is not a duration, or the duration is too long.
    """
    if has_units(text):
        ms = float(sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text)))
    elif _SECONDS.fullmatch(text):
        ms = float(text) * 1000
    else:
        raise SettingsError(f"{name} {text!r} is not a duration: {DURATION_FORMS}")
    if ms > LONGEST_MS:
        raise SettingsError(f"{name} {text!r} is too long: use 999999d at most")
    return ms / 1000


def duration_text(seconds: float) -> str:
    """Format seconds as a duration with units, such as `1h30m`; below a millisecond as a plain number."""
    ms = round(seconds * 1000)
    if ms / 1000 != seconds:
        return f"{seconds:g}"
    parts = []
    for unit, unit_ms in list(_UNITS_MS.items())[1:]:  # weeks are written as days
        count, ms = divmod(ms, unit_ms)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"
