"""Packed together, states are the bytes that each would write by itself."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tidecast.online.intervals import Tracker
from tidecast.online.state import SeriesState
from tidecast.online.state_encoder import changes_of
from tidecast.online.window import Window

STEPS = st.lists(st.integers(1, 9), max_size=90)  # of each reading, in minutes: beyond 3 missing a window restarts


def state_of(steps: list[int], features: int, levels: int, further: int) -> SeriesState:
    """Return a series that has seen readings at such steps; the first third is stored already."""
    state = SeriesState(tuple(f"größe {i}" for i in range(features)), Window(40, features), levels)
    ts = 0
    values = np.random.default_rng(len(steps)).normal(size=(len(steps), features))
    for i, step in enumerate(steps):
        ts += 60_000 * step
        state.window.push(ts, values[i], 3)
        if i == len(steps) // 3:
            state.window.unsaved = 0
    state.record[:] = np.arange(len(state.record)) + 0.5
    state.ahead = np.ones((further, further + 1))
    state.ahead_trackers = [Tracker() for _ in range(further)]
    return state


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.lists(st.tuples(STEPS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 2)), max_size=5))
def test_many_states_are_packed_as_each_one_is_by_itself(
    shapes: list[tuple[list[int], int, int, int]],
) -> None:
    """They have gaps, features, levels and further steps; each is marked as fully stored afterwards."""
    ours, theirs = ({f"sérié-{i}": state_of(*shape) for i, shape in enumerate(shapes)} for _ in range(2))
    expected = {name: raw for series, state in theirs.items() for name, raw in state.changes(series).items()}
    assert expected == changes_of(ours)
    assert [state.window.unsaved for state in theirs.values()] == [state.window.unsaved for state in ours.values()]


def test_what_is_packed_is_read_again() -> None:
    """Head and blocks together are the state."""
    state = state_of([1] * 70, 2, 2, 0)
    state.window.unsaved = state.window.length
    fields = changes_of({"a": state})
    blocks = {int(name.partition("\x1f")[2]): raw for name, raw in fields.items() if name != "a"}
    again = SeriesState.decode(fields["a"], blocks)
    assert state.features == again.features
    assert np.array_equal(state.window.rows, again.window.rows)
    assert np.array_equal(state.record, again.record)
