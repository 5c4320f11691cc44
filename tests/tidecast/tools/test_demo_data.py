"""The demo's series are measurements: whole, in order, and as rough as reality."""

from functools import cache

import numpy as np
import pytest

from tidecast.tools.demo_data import STREETS, DemoSource, side_by_side, sources

HOUR_MS = 3_600_000
SERIES = [*STREETS, "seattle/daily"]


@cache
def read() -> dict[str, DemoSource]:
    """Return all series by their names; they are not read by a process that only collects."""
    return {source.series: source for source in sources()}


@pytest.mark.parametrize("series", SERIES)
def test_a_series_has_one_reading_for_each_step(series: str) -> None:
    """No gap, no repetition and no hour that a change of the clocks has moved."""
    steps = np.diff([ts for _, _, ts in read()[series].readings])
    assert {HOUR_MS if series in STREETS else 24 * HOUR_MS} == set(steps)


@pytest.mark.parametrize("series", SERIES)
def test_every_reading_has_its_numbers(series: str) -> None:
    """An empty field would become a dead letter in front of a visitor."""
    assert SERIES == [*read()]
    source = read()[series]
    for name, values, _ in source.readings:
        assert series == name
        assert {source.target, *source.features} == set(values)
        assert all(np.isfinite(float(value)) for value in values.values())


@pytest.mark.parametrize("series", STREETS)
def test_the_hourly_readings_are_observations_and_no_averages(series: str) -> None:
    """Averages over years hardly differ from one day to the next, which makes any forecast look good."""
    values = np.array([float(values["value"]) for _, values, _ in read()[series].readings])
    assert np.all(values == np.round(values))
    assert np.std(values[24:] - values[:-24]) > 0.5 * np.std(np.diff(values))


def test_what_looks_like_readings_and_is_not_would_be_seen() -> None:
    """The climate normals of another data set fail the same test by far."""
    from vega_datasets import local_data

    normals = local_data.sf_temps()["temp"].to_numpy()
    assert np.std(normals[24:] - normals[:-24]) < 0.15 * np.std(np.diff(normals))


def test_the_street_with_the_bars_is_busy_when_they_close() -> None:
    """The hours before dawn belong to the night after the day that the file names: Friday's and Saturday's."""
    nights = {day: [] for day in range(7)}  # type: dict[int, list[float]]
    for _, values, ts in read()["auckland/k-road"].readings:
        local = ts // HOUR_MS + 12  # hours of New Zealand's standard time
        if local % 24 == 1:
            nights[(local // 24 + 3) % 7].append(float(values["value"]))  # 1970 began on a Thursday
    means = {day: np.mean(counts) for day, counts in nights.items()}
    assert {5, 6} == set(sorted(means, key=lambda day: -means[day])[:2])  # Saturday and Sunday at one


@pytest.mark.parametrize("series", SERIES)
def test_the_test_part_follows_what_was_learned(series: str) -> None:
    """No model has learned from its test part, and the worker has a past to retrain on."""
    source = read()[series]
    assert source.past + source.future == source.readings
    assert source.past[-len(source.recorded) :] == source.recorded
    assert len(source.recorded) > 200
    assert pytest.approx(0.2, abs=0.01) == len(source.future) / len(source.readings)


def test_series_of_other_years_progress_side_by_side() -> None:
    """A visitor sees all of them move; each keeps its own order."""
    long = DemoSource("long", "value", (), [("long", {}, ts) for ts in range(9)])
    short = DemoSource("short", "value", (), [("short", {}, 100 + ts) for ts in range(3)])
    merged = side_by_side([long.readings, short.readings])
    assert ["long", "short", "long", "long", "long", "short"] == [series for series, _, _ in merged[:6]]
    for source in (long, short):
        assert source.readings == [reading for reading in merged if reading[0] == source.series]
