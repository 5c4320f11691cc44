"""Compute the due times of a crontab line in a time zone with clock changes.

Each local time of the line has one run, when the local clock first shows it. A time that the clocks skip runs at the
first moment after the gap; if that moment is due anyway, there is one run for both. A time that comes twice runs the
first time.

APScheduler's trigger alone runs `30 2 * * *` twice in the night in which the hour is repeated, and skips days in zones
whose clocks go forward at midnight. So it only lists the local times, on a calendar without clock changes.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.cron import CronTrigger

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)


class Crontab:
    """The due times of a crontab line of five fields, with weekdays by name.

    Args:
        line: minute, hour, day of the month, month and weekday.
        zone: the time zone of these times.

    Raises:
        ValueError: the line is not a crontab line.
    """

    def __init__(self, line: str, zone: tzinfo) -> None:
        self._local_times = CronTrigger.from_crontab(line, timezone=UTC)
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
