"""Detect dates in bare numbers where a time was expected: written as digits, or as a spreadsheet's day number."""

import re
from datetime import date, datetime, timedelta

FIRST_DAY = 20_000  # the first day number that counts as a date: 1954
END_DAY = 80_000  # 2119
END_YEAR = 10_000  # a year has four digits
_DAY_0 = datetime(1899, 12, 30)  # day 0 of spreadsheets
_SPELLED = re.compile(
    r"(1[5-9]\d\d|2[0-2]\d\d)"  # a year, and perhaps month, day, hour, minute, second
    r"(?:(0[1-9]|1[0-2])(?:(0[1-9]|[12]\d|3[01])(?:([01]\d|2[0-3])(?:([0-5]\d)([0-5]\d)?)?)?)?)?"
)


def date_in(number: float) -> str | None:
    """Return the date in a number, in ISO-8601; None if the number is not a date.

    `2024`, `202403`, `20240301` and so on down to the second are dates in digits; `45352.5` is a day number of a
    spreadsheet. Numbers of 10 and 12 digits may be epochs as well, so a caller should check many of them.
    """
    if _is_day_number(number):
        return (_DAY_0 + timedelta(days=number)).isoformat(timespec="minutes").removesuffix("T00:00")
    form = _SPELLED.fullmatch(f"{number:.0f}") if float(number).is_integer() else None
    if form is None:
        return None
    year, month, day, *clock = form.groups()
    try:
        moment = date(int(year), int(month or 1), int(day or 1)).isoformat()
    except ValueError:  # a day that is not in the calendar
        return None
    hour, minute, second = clock
    return moment + (f"T{hour}:{minute or '00'}" if hour else "") + (f":{second}" if second else "")


def why_no_epoch(number: float) -> str | None:
    """Return why a number is a date and not an epoch, with the remedy; None if it may be an epoch."""
    likely = date_in(number)
    if likely is None:
        return None
    if _is_day_number(number):
        return f"looks like the number of a day in a spreadsheet: write {likely}"
    return f"looks like a {'year' if number < END_YEAR else 'date'}: write {likely}"


def _is_day_number(number: float) -> bool:
    return FIRST_DAY <= number < END_DAY
