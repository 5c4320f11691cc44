"""Due times at the changes of the clocks, against an oracle that watches the clocks minute by minute."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from tidecast.settings import RetrainSettings
from worker.retraining.crontab import Crontab, first_moment_of
from worker.retraining.triggers import timing_of

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# Zones with days on which their clocks change: by an hour, half an hour, two hours or a day, at night or at midnight.
CHANGES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "America/Havana": ("2026-03-08", "2026-11-01"),
    "Asia/Beirut": ("2026-03-29", "2026-10-25"),
    "Africa/Casablanca": ("2026-02-15", "2026-03-22"),
    "Africa/Cairo": ("2026-04-24", "2026-10-29"),
    "America/Santiago": ("2026-04-04", "2026-09-06"),
    "America/Asuncion": ("2024-03-24", "2024-10-06"),
    "America/Nuuk": ("2026-03-28", "2026-10-24"),
    "Atlantic/Azores": ("2026-03-29", "2026-10-25"),
    "Antarctica/Troll": ("2026-03-29", "2026-10-25"),
    "Pacific/Chatham": ("2026-04-05", "2026-09-27"),
    "Pacific/Apia": ("2011-12-30",),
    "Pacific/Kwajalein": ("1993-08-21",),
    "Asia/Pyongyang": ("2018-05-05",),
    "America/Caracas": ("2016-05-01",),
    "Asia/Kathmandu": ("1986-01-01",),
    "UTC": ("2026-03-29",),
}
CRONS: dict[str, Callable[[datetime], bool]] = {
    "30 2 * * *": lambda local: (local.hour, local.minute) == (2, 30),
    "0 0 * * *": lambda local: (local.hour, local.minute) == (0, 0),
    "15 0 * * *": lambda local: (local.hour, local.minute) == (0, 15),
    "0 3 * * *": lambda local: (local.hour, local.minute) == (3, 0),
    "45 1,2 * * *": lambda local: local.hour in (1, 2) and local.minute == 45,
    "*/20 * * * *": lambda local: local.minute % 20 == 0,
    "59 23 * * 6": lambda local: (local.isoweekday(), local.hour, local.minute) == (6, 23, 59),
    "10 2 * * sun": lambda local: (local.isoweekday(), local.hour, local.minute) == (7, 2, 10),
    "5 12 30 12 *": lambda local: (local.month, local.day, local.hour, local.minute) == (12, 30, 12, 5),
}
PLACES = [(zone, day) for zone, days in CHANGES.items() for day in days]


def watched(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, list[datetime]]]:
    """Yield each minute with the local times that the clocks reach or pass then and had not shown before."""
    shown = start.astimezone(zone).replace(tzinfo=None)
    moment = start
    while (moment := moment + MINUTE) <= end:
        local = moment.astimezone(zone).replace(tzinfo=None)
        reached = []
        while shown < local:
            shown += MINUTE
            reached.append(shown)
        yield moment, reached


def due_times(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Return the due times of a schedule, one after the other."""
    timing = timing_of(RetrainSettings(cron=cron, time_zone=zone))
    assert timing
    at_ms = round(start.timestamp() * 1000)
    due: list[datetime] = []
    while not due or due[-1] <= end:
        at_ms = timing.after(at_ms, at_ms)
        due.append(datetime.fromtimestamp(at_ms / 1000, UTC))
    return due[:-1]


@pytest.mark.parametrize(("zone", "day"), PLACES, ids=["-".join(place) for place in PLACES])
def test_each_wanted_local_time_runs_once_when_the_clocks_first_show_or_pass_it(zone: str, day: str) -> None:
    """A run that is left out, or done twice, costs an operator a day's model or an hour of a machine."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) - 2 * DAY
    end = start + 5 * DAY
    minutes = [*watched(ZoneInfo(zone), start, end)]
    for cron, wanted in CRONS.items():
        expected = [moment for moment, reached in minutes if any(map(wanted, reached))]
        assert expected == due_times(cron, zone, start, end), cron


@pytest.mark.parametrize(
    ("zone", "local", "moment"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00"),  # does not exist: at the end of the gap
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),  # comes twice: when it comes first
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:10", "2026-10-03T15:30"),
        ("America/Havana", "2026-03-08T00:00", "2026-03-08T05:00"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),  # a whole day does not exist
    ],
)
def test_the_first_moment_of_a_local_time(zone: str, local: str, moment: str) -> None:
    """By hand, from the tables of the zones."""
    expected = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert expected == first_moment_of(datetime.fromisoformat(local), ZoneInfo(zone))


def test_every_zone_of_the_system_has_a_run_a_day() -> None:
    """As many runs as days, but where a zone skipped or repeated a whole day; none of them comes twice."""
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for zone in ("Europe/Dublin", "Asia/Gaza", "America/Scoresbysund", "Africa/El_Aaiun", "Asia/Tehran", *CHANGES):
        crontab = Crontab("30 2 * * *", ZoneInfo(zone))
        moments = [start]
        for _ in range(365):
            following = crontab.after(moments[-1])
            assert following
            moments.append(following)
        assert timedelta(days=364) <= moments[-1] - start <= timedelta(days=366), zone
        assert all(later - earlier >= DAY - 180 * MINUTE for earlier, later in pairwise(moments[1:]))


def test_an_hourly_line_rests_while_the_hour_is_repeated() -> None:
    """The second two o'clock is the same local time: an interval in hours is `every`."""
    berlin = Crontab("0 * * * *", ZoneInfo("Europe/Berlin"))
    moment = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    due = []
    for _ in range(3):
        following = berlin.after(moment)
        assert following
        due.append(moment := following)
    assert [(0, 0), (2, 0), (3, 0)] == [(each.hour, each.minute) for each in islice(due, 3)]
