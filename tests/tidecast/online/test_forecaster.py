"""The pure core: a batch of entries in, forecasts, dead letters, counts and states out."""

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.histories import filled_in
from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.states import all_whole, whole
from tests.tidecast.online.harness import NOW_MS, SETTINGS, SPEC, ask, entry, forecaster_with, only
from tidecast.errors import StateError
from tidecast.models.spec import Spec
from tidecast.online.batch import Entry
from tidecast.online.forecaster import Forecaster
from tidecast.settings import SeriesSettings
from tidecast.wire import DISPOSITIONS, Forecast


def test_the_first_reading_of_an_unknown_series_is_answered_by_its_value() -> None:
    """It has its own id, comes at once, and has no bounds, which are unknown."""
    assert Forecast("5-0", "new", None, 42.5, None, None, 0.9, 5000, None, "naive", 42.5) == only(
        ask(Forecaster(SETTINGS), entry(5, "new", 42.5))
    )


def test_the_second_reading_settles_the_first_forecast() -> None:
    """It sets the step, the error, and a first interval."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, entry(1, value=10.0))
    second = only(ask(forecaster, entry(2, value=12.0)))
    assert (3000, 12.0, 2.0, None) == (second.ts, second.yhat, second.error, second.anomaly_score)
    assert second.yhat_lower is not None
    assert second.yhat_upper is not None
    assert 12.0 - second.yhat_lower == pytest.approx(second.yhat_upper - 12.0)
    third = only(ask(forecaster, entry(3, value=100.0)))
    assert third.error == 88.0
    assert third.anomaly_score is not None
    assert third.anomaly_score == pytest.approx(88.0 / (12.0 - second.yhat_lower))


def test_every_reading_ends_with_exactly_one_disposition() -> None:
    """Forecast, duplicate, late or dead; the counts sum, and each forecast and letter has its reading's id."""
    forecaster = Forecaster(SETTINGS)
    entries = [
        entry(1),
        entry(2),
        entry(3, ts=2000),  # duplicate
        entry(4, ts=500),  # late
        entry(5, value="nan"),
        entry(6, value=None),
        entry(7, series=""),
        entry(8, ts="soon"),
        ("9-0", {}),
        ("10-0", {b"\xff": b"\xff", b"series": b"\xff"}),
        entry(11, ts=11_000),
        ("18446744073709551615-18446744073709551615", {b"series": b"a", b"value": b"1"}),
    ]
    outcome = ask(forecaster, *entries)
    assert {"forecast": 4, "duplicate": 1, "late": 1, "dead": 6} == dict(outcome.counts)
    assert ["1-0", "2-0", "11-0", f"{2**64 - 1}-{2**64 - 1}"] == [f.id for f in outcome.forecasts]
    assert [
        ("5-0", "bad_value"),
        ("6-0", "no_value"),
        ("7-0", "no_series"),
        ("8-0", "bad_ts"),
        ("9-0", "no_series"),
        ("10-0", "bad_series"),
    ] == [(letter.id, letter.reason) for letter in outcome.dead]
    assert f"{2**64 - 1}-{2**64 - 1}" == outcome.last


def untimed(entry_id: str, series: str = "a") -> Entry:
    """Return an entry without a `ts`."""
    return entry_id, {b"series": series.encode(), b"value": b"1.0"}


AHEAD = NOW_MS + 60_001  # more than a minute


@pytest.mark.parametrize(
    ("ids", "origins"),
    [
        (["5-0", "5-1", "5-2", "6-0", "9-0"], [5, 6, 7, 8, 9]),  # many in one millisecond, and slower ones after them
        ([f"{AHEAD - 1}-0", f"{AHEAD - 1}-1"], [AHEAD - 1, AHEAD]),  # the clocks differ a little
        ([f"{AHEAD}-0", f"{AHEAD}-1", f"{AHEAD}-2"], [NOW_MS, NOW_MS + 1, NOW_MS + 2]),
        (["7-0", f"{2**64 - 1}-0", f"{2**64 - 1}-{2**64 - 1}"], [7, NOW_MS, NOW_MS + 1]),
        ([f"{AHEAD - 1}-0", f"{AHEAD}-0"], [AHEAD - 1, AHEAD]),  # never back
    ],
)
@pytest.mark.parametrize("model", [False, True])
def test_without_a_time_a_higher_id_is_a_new_reading(ids: list[str], origins: list[int], model: bool) -> None:
    """The time in an id is ignored: otherwise one id in the far future would make all later readings duplicates."""
    together = forecaster_with(*[make_model("a", SPEC)] * model)
    one_by_one = forecaster_with(*[make_model("a", SPEC)] * model)
    assert origins == [made.origin for made in ask(together, *map(untimed, ids)).forecasts]
    assert origins == [only(ask(one_by_one, untimed(entry_id))).origin for entry_id in ids]


def test_readings_with_and_without_a_time_share_one_order() -> None:
    """A `ts` that is not later is a duplicate or late, as usual; a reading without one comes after it."""
    forecaster = Forecaster(SETTINGS)
    outcome = ask(
        forecaster,
        entry(1, ts=5),
        untimed("2-0"),
        untimed("6-0"),
        entry(7, ts=6),
        entry(8, ts=7),
        entry(9, ts=20),
        untimed("9-1"),
        untimed("9-2", "b"),
    )
    assert [("1-0", 5), ("2-0", 6), ("6-0", 7), ("9-0", 20), ("9-1", 21), ("9-2", 9)] == [
        (made.id, made.origin) for made in outcome.forecasts
    ]
    assert {"forecast": 6, "late": 1, "duplicate": 1} == dict(outcome.counts)


def test_a_bad_reading_leaves_its_series_untouched() -> None:
    """The window neither moves nor forgets, and no state is written for it."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, entry(1))
    before = whole(forecaster.states["a"])
    outcome = ask(forecaster, entry(2, value="inf"), entry(3, ts=1000), entry(4, ts=10), entry(5, "b", value=""))
    assert {} == outcome.states
    assert before == whole(forecaster.states["a"])
    assert {"a"} == set(forecaster.states)


def test_only_touched_series_are_stored() -> None:
    """A commit is as large as its batch."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, *(entry(1, name) for name in "abc"))
    outcome = ask(forecaster, entry(2, "b"), entry(3, "b"))
    assert {"b": whole(forecaster.states["b"])} == all_whole(outcome.states)


BAD: dict[str, Any] = {"value": "x"}
readings = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([1000, 1000, 1000, 2000, 0, -3000, 50_000]),
        st.floats(-1e4, 1e4),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=40,
)


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(readings, st.lists(st.integers(1, 5), min_size=40, max_size=40))
def test_however_batched_and_restarted_the_forecasts_are_bit_equal(
    history: list[tuple[str, int, float, bool]], sizes: list[int]
) -> None:
    """One batch in one life, or many batches with a restart from the stored states after each: no difference."""
    models = [
        make_model("a", SPEC, seed=1, panel=random_panel(1), seasons=(5,), shared="seconds", span=(0, 15_000)),
        make_model("b", Spec(window=3, units=4, layers=2), seed=2, gridded=False, span=(0, 0)),
    ]
    network = make_shared("seconds")
    settings = SeriesSettings(rows_kept=2, horizon=3, more_levels=(0.5, 0.99), minimum=-5000.0)
    ts = 10_000
    entries = []
    for n, (series, delta, value, bad) in enumerate(history, 1):
        ts = max(1, ts + delta)
        entries.append(entry(n, series, "x" if bad else value, ts=ts))
    undisturbed = ask(forecaster_with(*models, settings=settings, shared=network), *entries)
    stored: dict[str, bytes] = {}
    made: list[Forecast] = []
    counts = dict.fromkeys(DISPOSITIONS, 0)
    left = list(entries)
    for size in sizes:
        part = left[:size]
        left = left[size:]
        if not part:
            break
        forecaster = Forecaster(settings)
        forecaster.restore(stored)  # before the models or after, as a worker that takes over
        forecaster.set_shared_network("seconds", network)
        for model in models:
            forecaster.set_model(model.header.series, 1, model)
        outcome = ask(forecaster, *part)
        stored |= outcome.states
        made += outcome.forecasts
        counts = {name: counts[name] + outcome.counts[name] for name in counts}
    assert [*undisturbed.forecasts] == made
    assert all_whole(undisturbed.states) == all_whole(stored)
    assert {name: undisturbed.counts[name] for name in counts} == counts
    assert len(entries) == sum(counts.values())


def test_a_damaged_state_is_refused_as_a_whole() -> None:
    """No part of a damaged state is taken over: the memory from before stays."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, entry(1))
    good = forecaster.states["a"].head()
    with pytest.raises(StateError):
        forecaster.restore({"a": good, "b": good[:-1]})
    assert {"a"} == set(forecaster.states)


@pytest.mark.parametrize("values", [[3.4e38, -3.4e38] * 4, [1e-45, 0.0, -0.0, 1e-300] * 2, [5.0] * 8])
def test_extreme_values_are_answered_with_finite_numbers(values: list[float]) -> None:
    """The largest, the smallest and a constant: all arithmetic stays within bounds."""
    forecaster = forecaster_with(make_model("a", SPEC))
    for forecast in ask(forecaster, *(entry(n, value=value) for n, value in enumerate(values, 1))).forecasts:
        numbers = [forecast.yhat, forecast.yhat_lower, forecast.yhat_upper, forecast.error, forecast.anomaly_score]
        assert all(np.isfinite(number) for number in numbers if number is not None)


def test_readings_of_the_last_century_teach_as_much_as_those_of_today() -> None:
    """Times before 1970 are below 0, which is not the end of any training."""
    values = np.random.default_rng(0).normal(size=40).cumsum().tolist()
    old, new = (
        ask(Forecaster(SETTINGS), *(entry(n, value=y, ts=begin + 1000 * n) for n, y in enumerate(values, 1))).forecasts
        for begin in (-1_000_000_000_000, 1_000_000_000_000)
    )
    assert list(old.yhat) == list(new.yhat)


@pytest.mark.parametrize("ts", ["-999999999999999", "0", "1700000000000"])
def test_times_of_any_age_are_answered_and_stored(ts: str) -> None:
    """The oldest time that is accepted fits the state, and so does the step to the newest."""
    forecaster = Forecaster(SETTINGS)
    outcome = ask(forecaster, entry(1, ts=ts), entry(2, ts="1700086400000"))
    assert 2 == outcome.counts["forecast"]
    assert {"a": whole(forecaster.states["a"])} == all_whole(outcome.states)


def test_a_bad_feature_is_named_and_a_missing_one_carried() -> None:
    """Only the model's own features are looked at."""
    forecaster = forecaster_with(make_model("a", Spec(window=2, units=2, features=("wind",))))
    outcome = ask(
        forecaster,
        entry(1, wind=3),
        entry(2),
        entry(3, wind="calm"),
        entry(4, wind=5, junk="x"),
        entry(5, "b", wind="calm"),
    )
    assert ["3-0"] == [letter.id for letter in outcome.dead]
    assert "'wind'" in outcome.dead[0].detail
    np.testing.assert_array_equal([3, 3, 4, 5], forecaster.states["a"].window.rows[:, 1])


def test_filled_rows_of_a_series_without_a_model_are_counted_too() -> None:
    """Its experts read all rows that its window remembers."""
    forecaster = Forecaster(SETTINGS)
    made = [*ask(forecaster, *(entry(n) for n in (1, 2, 3, 5, 6, 9, 10))).forecasts]
    assert [0, 0, 0, 1, 1, 3, 3] == [f.filled for f in made]
    assert 3 == filled_in(forecaster.states["a"].window, 20)
