"""The newest readings of every series: right, and bounded."""

import numpy as np
import pytest

from dashboard.data.recent import ERROR, FIRST_ROOM, NAIVE, POINTS, Recent, Y
from tests.dashboard.streams import entry


def test_points_are_kept_in_their_order_and_the_oldest_go() -> None:
    """As a ring, for each series."""
    recent = Recent(10)
    recent.add([entry("a", turn, y=turn, yhat=0.0) for turn in range(POINTS + 7)])
    assert list(range(7, POINTS + 7)) == recent.of(0)[:, Y].tolist()
    assert POINTS + 6 == recent.newest()[0, Y]


@pytest.mark.parametrize("wrong", [{"model": 10**30}, {"model": "x"}, {"yhat": "x"}, {"y": ""}])
def test_an_entry_that_is_not_a_forecast_is_left_out(wrong: dict[str, object]) -> None:
    """Another program may write anything into the stream; its series is not shown."""
    recent = Recent(10)
    assert 1 == recent.add([entry("a", 0, **{"y": 1.0, "yhat": 1.0} | wrong), entry("b", 0, 1.0, 1.0)])
    assert ["b"] == recent.names


def test_series_beyond_the_most_are_counted_and_left_out() -> None:
    """Memory is bounded, whatever names come."""
    recent = Recent(2)
    taken = recent.add([entry(name, 0, 1.0, 1.0) for name in "abcc"])
    assert (["a", "b"], 2, 2) == (recent.names, recent.beyond, taken)


def test_room_is_made_for_many_series() -> None:
    """The series from before stay."""
    recent = Recent(10_000)
    recent.add([entry(f"s{i}", 0, float(i), 0.0) for i in range(FIRST_ROOM + 1)])
    assert list(range(FIRST_ROOM + 1)) == recent.newest()[:, Y].tolist()


def test_a_series_that_is_removed_leaves_the_others_as_they_were() -> None:
    """The last one takes its row, and the name may come again."""
    recent = Recent(10)
    recent.add([entry(name, turn, place + turn / 10, 0.0) for turn in range(2) for place, name in enumerate("abc")])
    recent.remove("a")
    recent.remove("nobody")
    assert ({"c": 0, "b": 1}, [2.1, 1.1]) == (recent.index, recent.newest()[:, Y].tolist())
    recent.add([entry("a", 5, 7.0, 0.0), entry("c", 5, 8.0, 0.0)])
    assert [[2.0, 2.1, 8.0], [1.0, 1.1], [7.0]] == [recent.of(i)[:, Y].tolist() for i in range(3)]


def test_an_entry_that_is_not_a_forecast_does_not_hide_the_others() -> None:
    """It does not matter which program wrote the entry."""
    recent = Recent(10)
    assert 1 == recent.add([(b"1-0", {b"series": b"a"}), (b"2-0", None), entry("a", 0, 1.0, 1.0)])
    assert ["a"] == recent.names


def test_a_series_of_which_nothing_could_be_read_is_not_met() -> None:
    """A page takes it that each series has a newest point."""
    recent = Recent(10)
    whole = entry("a", 0, 1.0, 1.0)
    broken = entry("b", 0, 1.0, 1.0)
    broken_entries = [(broken[0], {**broken[1], **fields}) for fields in ({b"y": b"\xff"}, {b"model": b"x"})]
    assert 1 == recent.add([whole, *broken_entries])
    assert ["a"] == recent.names


def test_skill_and_coverage_are_those_of_a_loop() -> None:
    """Against the last value, over the same readings."""
    rng = np.random.default_rng(0)
    values, errors = rng.normal(size=40).cumsum(), rng.normal(size=40)
    scores = np.abs(rng.normal(size=40))
    records = [{"error": errors[i], "anomaly_score": scores[i]} if i else {} for i in range(40)]
    recent = Recent(10)
    recent.add([entry("a", i, values[i], 0.0, **records[i]) for i in range(40)])
    skill, coverage = recent.scores()
    naive = sum(abs(values[i] - values[i - 1]) for i in range(1, 40))
    assert pytest.approx(1 - sum(map(abs, errors[1:])) / naive) == skill[0]
    assert pytest.approx(sum(score <= 1 for score in scores[1:]) / 39) == coverage[0]
    assert np.isnan(recent.of(0)[0, [ERROR, NAIVE]]).all()


def test_the_scores_of_one_reading_are_not_known() -> None:
    """No warning is raised."""
    recent = Recent(10)
    recent.add([entry("a", 0, 1.0, 1.0)])
    skill, coverage = recent.scores()
    assert np.isnan([skill[0], coverage[0]]).all()
