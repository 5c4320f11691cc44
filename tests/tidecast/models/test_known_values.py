"""Values known ahead: which one counts for a series, a time and a moment, and what is computed from the time."""

from typing import Any

import numpy as np

from tidecast.arrays import Float
from tidecast.models.known.inputs import CALENDAR, HOLIDAY, KnownInputs, KnownSeries, SpecialDays, with_known
from tidecast.models.known.values import KnownValues
from tidecast.models.time_grid import Grid

HOUR = 3_600_000
DAY = 24 * HOUR


def at(*hours: float) -> Any:
    """Return times in milliseconds."""
    return np.array([round(hour * HOUR) for hour in hours], np.int64)


def values_of(*rows: tuple[str, str, float, float, float]) -> KnownValues:
    """Return values given as source, field, hour, hour since which it is known, and value."""
    values = KnownValues()
    for source, name, hour, known_at, value in rows:
        values.add(source, name, at(hour), np.array([value]), at(known_at))
    return values


def look_up(values: KnownValues, hour: float, as_of: float, series: str = "a", tolerance: float = 0.5) -> Float:
    """Return the price of a series."""
    return values.look_up(series, ["price"], at(hour), at(as_of), tolerance * HOUR)[:, 0]


def test_a_forecast_sees_the_newest_value_that_was_known_at_its_moment() -> None:
    """A correction that came later would let a backtest look ahead."""
    values = values_of(("a", "price", 9, 1, 10), ("a", "price", 9, 5, 12), ("a", "price", 9, 3, 11))
    seen = [look_up(values, 9, moment).item() for moment in (0, 1, 2.9, 3, 4, 5, 99)]
    np.testing.assert_array_equal([np.nan, 10, 10, 11, 11, 12, 12], seen)


def test_the_value_for_the_nearest_time_counts_within_half_a_step() -> None:
    """Readings come a little early or late; a value for the next step is another one."""
    values = values_of(("a", "price", 9, 0, 10), ("a", "price", 10, 0, 20))
    seen = look_up(values, 0, 1, tolerance=9.5).item()
    assert 10 == seen
    hours = at(8.4, 8.6, 9.4, 9.5, 9.6, 10.5, 10.6)
    seen_all = values.look_up("a", ["price", "plan"], hours, at(1)[0], HOUR / 2)
    np.testing.assert_array_equal([np.nan, 10, 10, 10, 20, 20, np.nan], seen_all[:, 0])
    assert np.isnan(seen_all[:, 1]).all()


def test_a_series_own_value_comes_before_that_of_a_pattern() -> None:
    """A pattern fills what the series lacks, the longest pattern first."""
    values = values_of(("*", "price", 9, 0, 1), ("shop-*", "price", 9, 0, 2), ("shop-7", "price", 9, 4, 3))
    assert 1 == look_up(values, 9, 1, "bus").item()
    assert 2 == look_up(values, 9, 1, "shop-7").item()
    assert 3 == look_up(values, 9, 4, "shop-7").item()
    assert ("price",) == values.fields("shop-8")
    values.add("shop-8", "plan", at(9, 12), np.array([5.0, 6.0]))
    assert ("plan", "price") == values.fields("shop-8")


def test_a_row_holds_what_was_known_ahead_of_the_time_after_it() -> None:
    """The newest row tells about the time to forecast, as in the worker."""
    values = values_of(("a", "price", 2, 0, 20), ("a", "price", 2, 2, 22), ("a", "price", 3, 1, 30))
    grid = Grid(at(0, 1, 2), np.ones((3, 1)), np.zeros(3, np.int64), np.zeros(3, np.bool_))
    inputs = KnownInputs(("price",), HOUR)
    wide = with_known(grid, inputs, KnownSeries("a", values))
    np.testing.assert_array_equal([[1, np.nan], [1, 20], [1, 30]], wide.values)
    rows = inputs.rows(values, "a", at(3).item(), 2, at(2).item())
    np.testing.assert_array_equal([[22], [30]], rows)


def test_special_days_begin_at_local_midnight() -> None:
    """A holiday in Berlin begins at 23:00 UTC in winter and at 22:00 in summer; beyond the list it is not known."""
    summer = 180 * DAY
    special = SpecialDays((10, 190), 0, 200, ((0, HOUR), (summer, 2 * HOUR)))
    inputs = KnownInputs((HOLIDAY,), HOUR, special)
    winter = inputs.look_up(None, "a", at(10 * 24 - 1.1, 10 * 24 - 1, 11 * 24 - 1.1, 11 * 24 - 1), 0)
    np.testing.assert_array_equal([0, 1, 1, 0], winter[:, 0])
    np.testing.assert_array_equal([0, 1], inputs.look_up(None, "a", at(190 * 24 - 2.1, 190 * 24 - 2), 0)[:, 0])
    assert np.isnan(inputs.look_up(None, "a", at(201 * 24), 0)).all()


def test_the_calendar_turns_with_the_local_clock() -> None:
    """Midnight, Monday and New Year are where the sines begin."""
    monday = 4 * DAY
    shifted = SpecialDays(offsets=((0, HOUR),))
    for special, ts in ((SpecialDays(), monday), (shifted, monday - HOUR)):
        phases = KnownInputs(CALENDAR, HOUR, special).look_up(None, "a", np.array([ts]), 0)[0]
        angle = 2 * np.pi * 4 / 365.25
        np.testing.assert_allclose([0, 1, 0, 1, np.sin(angle), np.cos(angle)], phases, atol=1e-12)


def test_values_known_before_a_moment_are_forgotten() -> None:
    """Later corrections stay; who keeps a table of values notices the change."""
    values = KnownValues()
    times = np.array([10, 20, 30], np.int64)
    values.add("a", "price", times, np.array([1.0, 2.0, 3.0]), np.array([5, 6, 7], np.int64))
    values.add("a", "price", times[:1], np.array([9.0]), 8)
    values.add("a", "wind", times, np.array([1.0, 2.0, 3.0]), 5)
    values.add("*", "price", times, np.array([7.0, 7.0, 7.0]), 9)
    before = values.changes("a")
    for _ in values.forget(7):
        pass
    assert before != values.changes("a")
    assert ("price",) == values.fields("a")
    np.testing.assert_array_equal([[9], [7], [3]], values.look_up("a", ["price"], times, 9, 1))
    for _ in values.forget(9):
        pass
    np.testing.assert_array_equal([[7], [7], [7]], values.look_up("a", ["price"], times, 9, 1))
