"""What is stored of a series, byte for byte."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tidecast.errors import StateError
from tidecast.windows import STEPS_REMEMBERED, Window
from worker.scoring import Tracker
from worker.state import VERSION, SeriesState

unhurried = hypothesis.settings(deadline=None, max_examples=60)
number = st.floats(allow_nan=False, allow_infinity=False)
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
    tracker = Tracker(draw(st.integers(0, 2**31)), draw(number), draw(number))
    return SeriesState(features, window, tracker, draw(st.none() | number), draw(st.none() | number), draw(versions))


@unhurried
@hypothesis.given(states())
def test_a_state_survives_its_bytes_to_the_last_bit(state: SeriesState) -> None:
    """Everything is restored, and stored again gives the same bytes."""
    raw = state.encode()
    found = SeriesState.decode(raw)
    assert raw == found.encode()
    assert (state.version, state.features, state.tracker, state.standing, state.standing_half) == (
        found.version,
        found.features,
        found.tracker,
        found.standing,
        found.standing_half,
    )
    np.testing.assert_array_equal(state.window.rows, found.window.rows)
    for name in ("capacity", "length", "filled", "last_ts", "step_ms", "steps_seen"):
        assert getattr(state.window, name) == getattr(found.window, name)


@unhurried
@hypothesis.given(states(), st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_a_restored_state_goes_on_as_the_one_that_was_never_stored(state: SeriesState, deltas: list[int]) -> None:
    """After any number of further readings both are equal in every byte."""
    restored = SeriesState.decode(state.encode())
    for each in (state, restored):
        ts = max(each.window.last_ts, 0)
        for delta in deltas:
            ts += delta
            each.window.push(ts, np.full(len(each.features), float(delta)), 3)
            each.tracker.settle(delta / 7, 0.9)
    assert state.encode() == restored.encode()


@unhurried
@hypothesis.given(states(), st.data())
def test_a_state_cut_short_is_refused(state: SeriesState, data: st.DataObject) -> None:
    """Wherever it was cut."""
    raw = state.encode()
    with pytest.raises(StateError):
        SeriesState.decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_a_state_of_another_version_is_refused_by_its_number() -> None:
    """The sentence names both versions."""
    raw = SeriesState(("value",), Window(4, 1)).encode()
    with pytest.raises(StateError, match=f"state format {VERSION + 1}, this worker reads {VERSION}"):
        SeriesState.decode(bytes([VERSION + 1]) + raw[1:])


def test_the_longest_life_does_not_make_the_state_grow() -> None:
    """Rows and steps are bounded: a year of readings takes no more than a day."""
    state = SeriesState(("value",), Window(48, 1))
    sizes = set()
    for ts in range(500):
        state.window.push(ts * 1000, np.array([1.0]), 3)
        if ts > 48 + STEPS_REMEMBERED:
            sizes.add(len(state.encode()))
    assert 1 == len(sizes)


def test_a_model_with_other_features_keeps_what_is_known() -> None:
    """Columns follow their names, a new one is unknown, and the forecast that stands still counts."""
    state = SeriesState(("load", "wind"), Window(3, 2), Tracker(5, 1.0, 2.0), standing=7.0)
    for ts in (0, 1000, 2000):
        state.window.push(ts, np.array([ts, -ts], float), 3)
    state.wear(("load", "sun", "wind"), 2, 500.0)
    np.testing.assert_array_equal([[1000, np.nan, -1000], [2000, np.nan, -2000]], state.window.rows)
    assert (("load", "sun", "wind"), 500.0, 7.0, 5) == (
        state.features,
        state.window.step,
        state.standing,
        state.tracker.errors,
    )
    assert state.encode() == SeriesState.decode(state.encode()).encode()
