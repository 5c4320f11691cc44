"""Local times in UTC, at the changes of the clocks and in whichever direction a file's rows run."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from tidecast.errors import SettingsError
from tidecast.files.history import read_history
from tidecast.files.zones import to_utc, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "UTC")


def quarters(first: str, count: int) -> list[datetime]:
    """Return so many moments of UTC, a quarter of an hour apart."""
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return [start + timedelta(minutes=15 * i) for i in range(count)]


def as_local_ms(moments: list[datetime], zone: ZoneInfo) -> np.ndarray:
    """Return the time that a clock showed, as if that were UTC."""
    shown = [moment.astimezone(zone).replace(tzinfo=UTC) for moment in moments]
    return np.array([round(moment.timestamp() * 1000) for moment in shown])


def as_ms(moments: list[datetime]) -> list[int]:
    """Return epoch milliseconds."""
    return [round(moment.timestamp() * 1000) for moment in moments]


@cache
def three_years(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return every quarter of an hour, in milliseconds of UTC and as a clock of the zone showed it."""
    moments = pd.date_range("2010-06-01", periods=4 * 24 * 900, freq="15min", tz="UTC", unit="ms")
    return moments.asi8, moments.tz_convert(name).tz_localize(None).asi8


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("backwards", [False, True], ids=["oldest first", "newest first"])
def test_every_quarter_of_three_years_comes_back(name: str, backwards: bool) -> None:
    """Whatever the zone and the direction: no reading is lost or an hour off."""
    ms, local = (times[::-1] if backwards else times for times in three_years(name))
    assert ms.tolist() == to_utc(local, np.zeros(len(local), np.int64), ZoneInfo(name)).ms.tolist()


def test_interleaved_series_follow_each_its_own_direction() -> None:
    """One series' rows rise, another's fall, in one file."""
    rising = quarters("2024-10-26T22:00", 24)
    both = [moment for pair in zip(rising, rising[::-1], strict=True) for moment in pair]
    series = np.array([0, 1] * len(rising))
    assert as_ms(both) == to_utc(as_local_ms(both, BERLIN), series, BERLIN).ms.tolist()


@pytest.mark.parametrize("direction", [1, -1], ids=["oldest first", "newest first"])
@pytest.mark.parametrize("minutes", [(0, 7, 31, 58, 62, 71, 103, 119, 131), (31, 7, 500, 499, 600)])
def test_a_step_back_shows_the_change_where_no_time_repeats(minutes: tuple[int, ...], direction: int) -> None:
    """A sensor with an irregular step would have the two hours mixed; rows that are not in order show no change."""
    moments = [datetime(2024, 10, 27, tzinfo=UTC) + timedelta(minutes=minute) for minute in minutes][::direction]
    series = np.zeros(len(moments), np.int64)
    assert as_ms(moments) == to_utc(as_local_ms(moments, BERLIN), series, BERLIN).ms.tolist()


def test_a_time_that_the_clock_skipped_moves_to_the_next_that_exists() -> None:
    """It is counted; so are the times that it showed twice."""
    local = np.array([datetime(2024, 3, 31, 2, m, tzinfo=UTC).timestamp() * 1000 for m in (0, 15, 59)], np.int64)
    localised = to_utc(local, np.zeros(3, np.int64), BERLIN)
    assert [datetime(2024, 3, 31, 1, tzinfo=UTC).timestamp() * 1000] * 3 == localised.ms.tolist()
    assert (3, 0) == (localised.skipped, localised.twice)
    twice = as_local_ms(quarters("2024-10-27T00:00", 8), BERLIN)
    assert 8 == to_utc(twice, np.zeros(8, np.int64), BERLIN).twice


@pytest.mark.parametrize("names", [("a",), ("a", "b")], ids=["one series", "two series"])
@pytest.mark.parametrize("backwards", [False, True], ids=["oldest first", "newest first"])
def test_a_file_across_the_change_loses_no_quarter(tmp_path: Path, names: tuple[str, ...], backwards: bool) -> None:
    """Read with its zone, a local file is as evenly spaced as the measurements."""
    moments = quarters("2024-10-26T20:00", 48)
    rows = [
        f"{name},{moment.astimezone(BERLIN):%Y-%m-%d %H:%M},{i}" for i, moment in enumerate(moments) for name in names
    ]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(("series,timestamp,value", *(rows[::-1] if backwards else rows))))
    for history in read_history(path, time_zone="Europe/Berlin").accepted:
        assert as_ms(moments) == history.ts.tolist()
        assert list(range(48)) == history.values[:, 0].tolist()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("Mars/Base", "name one such as Europe/Berlin or UTC"),
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("../etc/passwd", "name one such as Europe/Berlin or UTC"),
    ],
)
def test_an_unknown_zone_is_refused(name: str, remedy: str) -> None:
    """The message names the likely one, or two examples."""
    with pytest.raises(SettingsError) as caught:
        zone_of(name)
    assert f"time zone {name!r} is unknown: {remedy}" == str(caught.value)
