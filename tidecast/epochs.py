"""Bare numbers as times: find the date that a number spells or counts, and that is no epoch."""

import re
from datetime import date, datetime, timedelta

FIRST_DAY = 20_000  # of the day numbers of spreadsheets: 1954
LAST_DAY = 80_000  # 2119
_DAY_0 = datetime(1899, 12, 30)  # what spreadsheets count from
_SPELLED = re.compile(
    r"(1[5-9]\d\d|2[0-2]\d\d)"  # a year, and perhaps what follows it: month, day, hour, minute, second
    r"(?:(0[1-9]|1[0-2])(?:(0[1-9]|[12]\d|3[01])(?:([01]\d|2[0-3])(?:([0-5]\d)([0-5]\d)?)?)?)?)?"
)


def date_in(number: float) -> str | None:
    """Return the date, in ISO-8601, that a number spells or counts; None if it does neither.

    `2024`, `202403`, `20240301` and so on down to the second spell a date; `45352.5` counts the days of a spreadsheet.
    Numbers of 10 and 12 digits may be epochs as well, so a caller should ask for many of them.
    """
    if FIRST_DAY <= number < LAST_DAY:
        return (_DAY_0 + timedelta(days=number)).isoformat(timespec="minutes").removesuffix("T00:00")
    form = _SPELLED.fullmatch(f"{number:.0f}") if float(number).is_integer() else None
    if form is None:
        return None
    year, month, day, *clock = form.groups()
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:  # a day that is not in the calendar
        return None
    text = "-".join(part for part in (year, month, day) if part)
    return "T".join(part for part in (text, ":".join(part for part in clock if part)) if part)


def why_no_epoch(number: float) -> str | None:
    """Explain a number that is a date rather than an epoch, and give the remedy; None if it may be an epoch."""
    likely = date_in(number)
    if likely is None:
        return None
    if FIRST_DAY <= number < LAST_DAY:
        return f"looks like a spreadsheet's number for the day {likely}: write that, in ISO-8601"
    return f"looks like the date {likely}: write it so, in ISO-8601"
