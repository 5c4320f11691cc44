"""Compute the due times of a crontab line in a time zone with clock changes.

Each local time of the line has one run, when the local clock first shows it. A time that the clocks skip runs at the
first moment after the gap; if that moment is due anyway, there is one run for both. A time that comes twice runs the
first time.

APScheduler's trigger alone runs `30 2 * * *` twice in the night in which the hour is repeated, and skips days in zones
whose clocks go forward at midnight. So it only lists the local times, on a calendar without clock changes.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.cron import CronTrigger

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
FIELDS = 5
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # numbered from 0 as in crontab; 7 is Sunday again
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")  # numbered from 1


class Crontab:
    """The due times of a crontab line of five fields.

    Args:
        line: minute, hour, day of the month, month and weekday.
        zone: the time zone of these times.

    Raises:
        ValueError: the line is not a crontab line.
    """

    def __init__(self, line: str, zone: tzinfo) -> None:
        self._local_times = CronTrigger.from_crontab(_plain(line), timezone=UTC)
        self._zone = zone

    def after(self, moment: datetime) -> datetime | None:
        """Return the first due time after a moment, in UTC; None after the last one."""
        local = moment.astimezone(self._zone).replace(tzinfo=UTC)
        while following := self._local_times.get_next_fire_time(None, local + MICROSECOND):
            due = first_moment_of(following.replace(tzinfo=None), self._zone)
            if due > moment:  # otherwise the clocks show this time for the second time
                return due
            local = following
        return None


def first_moment_of(local: datetime, zone: tzinfo) -> datetime:
    """Return when the clocks of a zone first show a local time, in UTC; if they skip it, the moment after the gap."""
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    # With the offset from before the gap, the time lies after the gap; with the offset from after it, before the gap.
    before_gap = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = before_gap.astimezone(zone).utcoffset()
    seconds = range(round((moment - before_gap) / SECOND))
    skipped = bisect_left(
        seconds, True, key=lambda passed: (before_gap + passed * SECOND).astimezone(zone).utcoffset() != offset
    )
    return before_gap + skipped * SECOND


def _plain(line: str) -> str:
    """Return a crontab line with months as numbers and weekdays as names, without ranges, for APScheduler.

    APScheduler counts weekdays from Monday, and ignores what follows a name: it reads `jan-dec/3` as each month.
    """
    fields = line.split()
    if len(fields) != FIELDS:
        return line  # APScheduler reports the number of fields
    months = [number for part in fields[3].split(",") for number in _numbers(part, MONTHS, 1, 12)]
    weekdays = [number for part in fields[4].split(",") for number in _numbers(part, WEEKDAYS, 0, 7)]
    names = [WEEKDAYS[number % 7] for number in weekdays]
    return " ".join([*fields[:3], ",".join(map(str, months)), ",".join(names)])


def _numbers(part: str, names: Sequence[str], least: int, most: int) -> range:
    """Return the numbers of a part of a field, such as `mon-fri/2`.

    Raises:
        ValueError: the part is not a name, a number, a range or a step.
    """
    span, slash, step = part.partition("/")
    ends = [least, least + len(names) - 1] if span == "*" else [_number(end, names, least) for end in span.split("-")]
    first = ends[0]
    last = ends[-1] if len(ends) > 1 or not slash else least + len(names) - 1
    if least == last == 0 < first:  # from a day until Sunday
        last = most
    width = int(step) if step.isdecimal() else 0 if slash else 1
    if len(ends) > 2 or width == 0 or not least <= first <= last <= most:
        kind = "month: they are 1 to 12" if names is MONTHS else "weekday: they are 0 to 7"
        raise ValueError(f"{part!r} is not a {kind}, or {names[0]} to {names[-1]}")
    return range(first, last + 1, width)


def _number(text: str, names: Sequence[str], least: int) -> int:
    """Return the number of a name or a number; -1 if it is neither."""
    if text.isdecimal():
        return int(text)
    name = text.casefold()
    return least + names.index(name) if name in names else -1
