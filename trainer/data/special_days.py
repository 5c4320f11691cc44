"""The special days of a series, from its rule in the settings and the package `holidays`."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from tidecast.durations import DAY_MS
from tidecast.errors import SettingsError, TidecastError
from tidecast.files.zones import offset_changes
from tidecast.models.known.inputs import CALENDAR, HOLIDAY, SpecialDays
from tidecast.settings.known import CalendarRule

YEARS_AHEAD = 3  # a model knows the special days of so many years after its history
_EPOCH = date(1970, 1, 1).toordinal()


def computed_inputs(rule: CalendarRule) -> tuple[str, ...]:
    """Return the names of the inputs that a rule adds."""
    has_days = rule.country or rule.dates
    return (*((HOLIDAY,) if has_days else ()), *(CALENDAR if rule.calendar else ()))


def special_days(rule: CalendarRule, first_ms: int, last_ms: int) -> SpecialDays:
    """Return the special days of the years of a history and of a few more.

    Args:
        rule: of the series.
        first_ms: the first reading, epoch milliseconds.
        last_ms: the last one.

    Raises:
        SettingsError: the country or its part does not exist.
        TidecastError: the package `holidays` is not installed.
    """
    first = _year(first_ms)
    last = _year(last_ms) + YEARS_AHEAD
    named = _holidays(rule.country, rule.subdivision, first, last) if rule.country else ()
    given = {day.toordinal() - _EPOCH for day in rule.dates}
    begin = date(first, 1, 1).toordinal() - _EPOCH
    end = date(last, 12, 31).toordinal() - _EPOCH
    days = sorted(given.union(named))
    return SpecialDays(tuple(day for day in days if begin <= day <= end), begin, end, _offsets(rule.zone, begin, end))


@lru_cache(maxsize=64)
def _offsets(zone: str, begin: int, end: int) -> tuple[tuple[int, int], ...]:
    """Return the changes of a local clock in milliseconds; the bounds are days."""
    if zone == "UTC":
        return ()
    starts, offsets = offset_changes(ZoneInfo(zone), begin * DAY_MS // 1000, end * DAY_MS // 1000)
    return tuple(zip((1000 * starts).tolist(), (1000 * offsets).tolist(), strict=True))


@lru_cache(maxsize=64)
def _holidays(country: str, subdivision: str, first: int, last: int) -> tuple[int, ...]:
    try:
        import holidays
    except ImportError as exc:
        raise TidecastError("holidays by country need the package holidays: pip install 'tidecast[train]'") from exc
    try:
        named = holidays.country_holidays(country, subdiv=subdivision or None, years=range(first, last + 1))
    except NotImplementedError as exc:  # what the package raises for a country or a part that it does not know
        raise SettingsError(
            f"known.calendars: country {country!r} with subdivision {subdivision!r} has no list of holidays: "
            "write the codes of ISO 3166, such as DE and BY"
        ) from exc
    return tuple(day.toordinal() - _EPOCH for day in named)


def _year(ms: int) -> int:
    return int(str(np.datetime64(ms, "ms").astype("datetime64[Y]")))
