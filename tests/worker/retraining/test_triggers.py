"""When runs are due: intervals, crontab, zones, missed times; all from a given time."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from tidecast.errors import SettingsError
from tidecast.settings import RetrainSettings
from worker.retraining.triggers import MOST_MISSED, Timing, timing_of


def timing(**given: Any) -> Timing:
    """The timing of these settings."""
    schedule = timing_of(RetrainSettings(**given))
    assert schedule
    return schedule


def ms(text: str) -> int:
    """Epoch milliseconds of an ISO time; without an offset in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def dues(timing: Timing, since: str, count: int) -> list[str]:
    """Return the next due times."""
    times = []
    at = ms(since)
    for _ in range(count):
        at = timing.after(at, at)
        times.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%a %Y-%m-%d %H:%M"))
    return times


def test_without_a_schedule_there_is_no_timing() -> None:
    """The default: no training starts by itself."""
    assert timing_of(RetrainSettings()) is None


def test_an_interval_begins_one_interval_after_the_first_start() -> None:
    """On whole seconds, and from then on in step, however late a run was."""
    every = timing(every="6h")
    first = every.first(ms("2026-03-01T10:20:30") + 250)
    assert ms("2026-03-01T16:20:30") == first
    assert ms("2026-03-01T22:20:30") == every.after(first, first)
    assert ms("2026-03-02T10:20:30") == every.after(first, ms("2026-03-02T10:20:29"))


def test_due_times_that_went_by_are_counted() -> None:
    """One run stands for all of them."""
    every, cron = timing(every="1h"), timing(cron="0 * * * *")
    due = ms("2026-03-01T03:00:00")
    for schedule in (every, cron):
        assert 0 == schedule.missed(due, due)
        assert 0 == schedule.missed(due, ms("2026-03-01T03:59:59"))
        assert 3 == schedule.missed(due, ms("2026-03-01T06:30:00"))
        assert MOST_MISSED == schedule.missed(due, ms("2027-03-01T06:30:00"))
        assert 0 == schedule.missed(due, due - 5000)
        assert ms("2026-03-01T07:00:00") == schedule.after(due, ms("2026-03-01T06:30:00"))


def test_a_clock_that_was_set_back_repeats_nothing() -> None:
    """The next due time is after the last one, whatever time it is."""
    due = ms("2026-03-01T03:00:00")
    for schedule in (timing(every="1h"), timing(cron="0 * * * *")):
        assert ms("2026-03-01T04:00:00") == schedule.after(due, ms("2026-02-01T00:00:00"))


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 3 * * 0", ["Sun 2026-03-01 03:00", "Sun 2026-03-08 03:00"]),
        ("0 3 * * 7", ["Sun 2026-03-01 03:00", "Sun 2026-03-08 03:00"]),
        ("0 3 * * 1", ["Mon 2026-03-02 03:00", "Mon 2026-03-09 03:00"]),
        ("0 3 * * sun,2", ["Sun 2026-03-01 03:00", "Tue 2026-03-03 03:00"]),
        ("0 3 * * 5-7", ["Fri 2026-02-27 03:00", "Sat 2026-02-28 03:00", "Sun 2026-03-01 03:00"]),
        ("0 3 * * mon-fri", ["Fri 2026-02-27 03:00", "Mon 2026-03-02 03:00"]),
        ("0 3 * * */3", ["Sat 2026-02-28 03:00", "Sun 2026-03-01 03:00", "Wed 2026-03-04 03:00"]),
        ("0 3 * * 1-5/2", ["Fri 2026-02-27 03:00", "Mon 2026-03-02 03:00", "Wed 2026-03-04 03:00"]),
        ("0 3 * * mon-fri/2", ["Fri 2026-02-27 03:00", "Mon 2026-03-02 03:00", "Wed 2026-03-04 03:00"]),
        ("0 3 * * SAT-SUN", ["Sat 2026-02-28 03:00", "Sun 2026-03-01 03:00", "Sat 2026-03-07 03:00"]),
        ("0 3 1 jan-dec/3 *", ["Wed 2026-04-01 03:00", "Wed 2026-07-01 03:00", "Thu 2026-10-01 03:00"]),
        ("0 3 1 apr,7 *", ["Wed 2026-04-01 03:00", "Wed 2026-07-01 03:00", "Thu 2027-04-01 03:00"]),
    ],
)
def test_weekdays_and_months_are_those_of_crontab(cron: str, expected: list[str]) -> None:
    """There 0 and 7 are Sunday; for the library 0 is Monday, and a step after a name does not count."""
    assert expected == dues(timing(cron=cron), "2026-02-26T12:00:00", len(expected))


def test_a_cron_is_meant_in_its_zone_across_the_change_of_the_clocks() -> None:
    """Three o'clock in Berlin is 02:00 UTC in winter and 01:00 in summer; each night has one run."""
    berlin = timing(cron="0 3 * * *", time_zone="Europe/Berlin")
    spring = ["Sat 2026-03-28 02:00", "Sun 2026-03-29 01:00", "Mon 2026-03-30 01:00"]
    assert spring == dues(berlin, "2026-03-27T12:00:00", 3)
    assert ["Sat 2026-10-24 01:00", "Sun 2026-10-25 02:00"] == dues(berlin, "2026-10-23T12:00:00", 2)


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *"])
def test_the_hour_that_the_clocks_skip_or_repeat_keeps_the_order(cron: str) -> None:
    """Due times only ever move forward."""
    berlin = timing(cron=cron, time_zone="Europe/Berlin")
    for since in ("2026-03-28T22:00:00", "2026-10-24T22:00:00"):
        at = [ms(since)]
        for _ in range(20):
            at.append(berlin.after(at[-1], at[-1]))
        assert all(later > earlier for earlier, later in pairwise(at))


def test_the_pause_before_another_try_grows_up_to_a_tenth_of_the_interval() -> None:
    """10 s, doubled each time."""
    assert [10_000, 20_000, 40_000, 80_000] == [timing(every="6h").pause_ms(n, 0) for n in (1, 2, 3, 4)]
    assert [6000, 6000] == [timing(every="1m").pause_ms(n, 0) for n in (1, 50)]
    assert 360_000 == timing(cron="0 * * * *").pause_ms(30, ms("2026-03-01T03:00:00"))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"every": "6h", "cron": "0 3 * * *"}, "settings retrain.every and retrain.cron are both set"),
        ({"cron": "0 3 * *"}, 'setting retrain.cron is "0 3 [*] [*]": .*: write minute, hour'),
        ({"cron": "61 3 * * *"}, "write minute, hour"),
        ({"cron": "0 3 * * 8"}, "'8' is not a weekday"),
        ({"cron": "0 3 * * 1-x"}, "write minute, hour"),
        ({"cron": "0 3 * * mon#2"}, "'mon#2' is not a weekday: they are 0 to 7, or sun to sat"),
        ({"cron": "0 3 * * fri-mon"}, "'fri-mon' is not a weekday"),
        ({"cron": "0 3 * * */0"}, "'[*]/0' is not a weekday"),
        ({"cron": "0 3 * jan#2 *"}, "'jan#2' is not a month: they are 1 to 12, or jan to dec"),
        ({"cron": "0 3 * jan-0 *"}, "'jan-0' is not a month"),
        ({"cron": "x y z a b"}, "write minute, hour"),
        ({"cron": " "}, "write minute, hour"),
        ({"cron": "0 3 30 2 *"}, "never comes"),
        ({"cron": "0 3 * * *", "time_zone": "Europe/Atlantis"}, "install tzdata"),
        ({"cron": "0 3 * * *", "time_zone": "../../etc/passwd"}, "install tzdata"),
        ({"cron": "0 3 * * *", "time_zone": ""}, "install tzdata"),
    ],
)
def test_a_schedule_that_is_none_is_said_with_a_remedy(given: dict[str, str], sentence: str) -> None:
    """Before anything starts."""
    with pytest.raises(SettingsError, match=sentence):
        timing_of(RetrainSettings(**given))
