"""The stored form of a series, byte for byte."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.harness.histories import filled_in
from tests.harness.oracles.blending import learn
from tests.harness.oracles.tracker import Tracker, trackers_in
from tests.harness.states import all_fields, all_whole, whole
from tidecast.errors import StateError
from tidecast.models.experts import EXPERTS, HALF_LIVES
from tidecast.online.series.state import SeriesState, decode_all
from tidecast.online.shadow_test import begin, end
from tidecast.online.window import Window
from tidecast.wire.state_format import BLOCK, DRIFT, GUARD, STATE_FORMAT, further_numbers

unhurried = hypothesis.settings(deadline=None, max_examples=60)
number = st.floats(allow_nan=False, allow_infinity=False)
answer = st.floats(-1e39, 1e39) | st.just(float("nan"))  # of an expert; NaN: it has none
error = st.floats(0, float(np.float32(1e38)), width=32) | st.just(float("nan"))
trackers = st.builds(Tracker, st.integers(0, 2**31 - 1), number, number, st.none() | number)
versions = st.integers(0, 2**31)
names = st.lists(
    st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs"]), min_size=1),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def states(draw: st.DrawFn) -> SeriesState:
    """Any state that readings can lead to."""
    features = tuple(draw(names))
    window = Window(draw(st.integers(1, 12)), len(features))
    window.step_ms = draw(st.none() | st.floats(0.5, 1e9))
    ts = draw(st.integers(-(10**14), 10**14))
    for delta in draw(st.lists(st.integers(1, 4000) | st.just(10**12), max_size=30)):
        ts += delta
        row = draw(
            st.lists(st.floats(-1e38, 1e38) | st.just(float("nan")), min_size=len(features), max_size=len(features))
        )
        window.push(ts, np.array([0.0 if np.isnan(row[0]) else row[0], *row[1:]]), 3)
    state = SeriesState(features, window, draw(st.integers(1, 9)), draw(st.integers(0, 4)))
    state.fields.last_version = draw(versions)
    state.fields.pending_forecast = draw(number)
    state.answers[:] = draw(arrays(np.float64, len(EXPERTS), elements=answer))
    state.errors[:] = draw(arrays(np.float32, (len(HALF_LIVES), len(EXPERTS)), elements=error))
    for name, kind in (("guard", GUARD), ("drift", DRIFT)):
        for field in kind.names or ():
            state.fields[name][field] = draw(number if kind[field] == np.float64 else error)
    for tracker in trackers_in(state):
        tracker.numbers[:] = draw(trackers).numbers
    count = further_numbers(state.further, state.levels)
    state.record[len(state.record) - count :] = draw(arrays(np.float64, count, elements=answer))
    return state


@unhurried
@hypothesis.given(states())
def test_a_state_survives_its_bytes_to_the_last_bit(state: SeriesState) -> None:
    """Everything is restored, and stored again gives the same bytes."""
    (decoded,) = decode_all(all_fields(state)).values()
    assert whole(state) == whole(decoded)
    assert all_fields(state) == all_fields(decoded)
    for name in ("last_version", "features", "pending_forecast", "levels", "further"):
        assert getattr(state, name) == getattr(decoded, name)
    for name in ("record", "errors", "answers"):
        np.testing.assert_array_equal(getattr(state, name), getattr(decoded, name))
    np.testing.assert_array_equal(state.window.rows, decoded.window.rows)
    assert filled_in(state.window, 12) == filled_in(decoded.window, 12)
    for name in ("capacity", "length", "appended", "last_ts", "step_ms", "steps_seen"):
        assert getattr(state.window, name) == getattr(decoded.window, name)


@unhurried
@hypothesis.given(states(), st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_a_restored_state_goes_on_as_the_one_that_was_never_stored(state: SeriesState, deltas: list[int]) -> None:
    """After any number of further readings both are equal in every byte."""
    (restored,) = decode_all(all_fields(state)).values()
    for each in (state, restored):
        ts = max(each.window.last_ts, 0)
        for delta in deltas:
            ts += delta
            each.window.push(ts, np.full(len(each.features), float(delta)), 3)
            each.errors[:] = learn(each.errors, each.answers, float(delta))[0]
            for tracker in trackers_in(each):
                tracker.update(delta / 7, 0.9)
    assert whole(state) == whole(restored)
    assert state.changes("a") == restored.changes("a")


@unhurried
@hypothesis.given(states(), st.data())
def test_a_state_cut_short_is_refused(state: SeriesState, data: st.DataObject) -> None:
    """Wherever it was cut, the head or a block."""
    fields = all_fields(state)
    name = data.draw(st.sampled_from(sorted(fields)))
    cut = fields | {name: fields[name][: data.draw(st.integers(1, len(fields[name]) - 1))]}
    with pytest.raises(StateError):
        decode_all(cut)


def test_a_state_of_another_version_is_refused_by_its_number() -> None:
    """The sentence names both versions."""
    raw = SeriesState(("value",), Window(4, 1)).head()
    with pytest.raises(StateError, match=f"state format {STATE_FORMAT + 1}, this program reads {STATE_FORMAT}"):
        SeriesState.decode(bytes([STATE_FORMAT + 1]) + raw[1:])


def test_a_reading_costs_the_same_however_long_the_window() -> None:
    """It costs the head, and one reading in 32 a block: a year of rows takes no more than a day."""
    most = {}
    for capacity in (48, 400, 2048):
        state = SeriesState(("value",), Window(capacity, 1))
        sizes = []
        for ts in range(3 * capacity):
            state.window.push(ts * 1000, np.array([1.0]), 3)
            changes = state.changes("a")
            assert 1 + (ts % BLOCK == BLOCK - 1) == len(changes)
            sizes.append(sum(map(len, changes.values())))
        most[capacity] = max(sizes)
    assert 1 == len(set(most.values()))
    assert most[400] < 900


def test_the_fields_of_a_state_do_not_grow_in_number() -> None:
    """Blocks take turns in a ring, and the window is read back exactly, whatever older turns have left there."""
    state = SeriesState(("value",), Window(100, 1))
    stored = dict[str, bytes]()
    for ts in range(1000):
        state.window.push((ts + (ts > 500) * 10) * 1000, np.array([float(ts)]), 3)  # one long gap
        stored |= state.changes("a")
        if ts % 7 == 0:
            assert {"a": whole(state)} == {name: whole(decoded) for name, decoded in decode_all(stored).items()}
    assert 1 + 5 == len(stored)


def test_a_window_whose_older_blocks_are_gone_begins_after_them() -> None:
    """If older blocks were deleted, the remaining rows still follow one another."""
    state = SeriesState(("value",), Window(100, 1))
    for ts in range(100):
        state.window.push(ts * 1000, np.array([float(ts)]), 3)
    fields = all_fields(state)
    del fields[f"a\x1f{0}"]
    assert [*map(float, range(32, 100))] == decode_all(fields)["a"].window.rows[:, 0].tolist()
    del fields[f"a\x1f{2}"]
    assert [96.0, 97.0, 98.0, 99.0] == decode_all(fields)["a"].window.rows[:, 0].tolist()
    assert 4 == decode_all({"a": fields["a"]})["a"].window.length
    assert {} == decode_all({name: raw for name, raw in fields.items() if name != "a"})


def test_a_model_with_other_features_keeps_what_is_known() -> None:
    """Columns follow their names, a new one is unknown, and the forecast that stands still counts."""
    state = SeriesState(("load", "wind"), Window(3, 2))
    state.fields.pending_forecast = 7.0
    trackers_in(state)[0].numbers[:] = Tracker(5, 1.0, 2.0).numbers
    for ts in (0, 1000, 2000):
        state.window.push(ts, np.array([ts, -ts], float), 3)
    state.reshape_to(("load", "sun", "wind"), 2, 500.0, gridded=False)
    np.testing.assert_array_equal([[1000, np.nan, -1000], [2000, np.nan, -2000]], state.window.rows)
    assert (("load", "sun", "wind"), 500.0, 7.0, 5) == (
        state.features,
        state.window.step,
        state.pending_forecast,
        trackers_in(state)[0].errors,
    )
    assert not state.window.gridded
    assert {"a": whole(state)} == all_whole(all_fields(state))


def test_another_target_leaves_nothing_but_the_time() -> None:
    """Errors, answers and intervals of one field do not apply to another."""
    state = SeriesState(("load", "wind"), Window(3, 2), further=1)
    state.record[:] = 3.0
    state.window.push(1000, np.array([1.0, 2.0]), 3)
    state.reshape_to(("wind",), 3, None, gridded=True)
    fresh = SeriesState(("wind",), Window(3, 1), further=1)
    fresh.window.last_ts = 1000
    fresh.window.appended = state.window.appended
    assert whole(fresh) == whole(state)


def test_a_shadow_test_of_a_series_with_further_steps_survives_a_restart() -> None:
    """The former champion's record has the shape of the series' own, so that it can take its place."""
    state = SeriesState(("value",), Window(4, 1), 3, 2)
    state.fields.last_version = 1
    begin(state, 2)
    state.record[-1] = 7.0
    again = SeriesState.decode(state.head())
    assert again.head() == state.head()
    end(again, 1)
    assert (again.last_version, again.record[-1], again.probation) == (1, 7.0, None)
