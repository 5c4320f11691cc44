"""Packed together, states are the bytes that each would write by itself."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tidecast.online.engine import Engine
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.state import SeriesState
from tidecast.online.series.state_changes import StateChanges
from tidecast.online.series.state_encoder import changes_of
from tidecast.online.shadow_test import ShadowTests
from tidecast.online.window import Window
from tidecast.settings import AnomalySettings, SeriesSettings

STEPS = st.lists(st.integers(1, 9), max_size=90)  # of each reading, in minutes: beyond 3 missing a window restarts


def state_of(shape: tuple[int, int], steps: list[int], features: int) -> SeriesState:
    """Return a series that has seen readings at such steps; the first third is stored already."""
    state = SeriesState(tuple(f"größe {i}" for i in range(features)), Window(40, features), *shape)
    ts = 0
    values = np.random.default_rng(len(steps)).normal(size=(len(steps), features))
    for i, step in enumerate(steps):
        ts += 60_000 * step
        state.window.push(ts, values[i], 3)
        if i == len(steps) // 3:
            state.window.unsaved = 0
    state.record[:] = np.arange(len(state.record)) + 0.5
    return state


def series_with(states: dict[str, SeriesState], shape: tuple[int, int]) -> PartitionSeries:
    """Return a partition with these states."""
    engine = Engine()
    levels, further = shape
    settings = SeriesSettings(target="größe 0", more_levels=(0.5, 0.99)[: levels - 1], horizon=1 + further)
    series = PartitionSeries(settings, engine, ShadowTests(engine, 0), AnomalySettings())
    series.states |= states
    series.refresh_all()
    return series


def changes(states: dict[str, SeriesState], shape: tuple[int, int]) -> StateChanges:
    """Return the changes of all states."""
    return changes_of(series_with(states, shape), np.arange(len(states)), shape)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    st.lists(st.tuples(STEPS, st.integers(1, 3)), max_size=5), st.tuples(st.integers(1, 3), st.integers(0, 2))
)
def test_many_states_are_packed_as_each_one_is_by_itself(
    histories: list[tuple[list[int], int]], shape: tuple[int, int]
) -> None:
    """They have gaps, features, levels and further steps; each is marked as fully stored afterwards."""
    ours, theirs = ({f"sérié-{i}": state_of(shape, *history) for i, history in enumerate(histories)} for _ in range(2))
    expected = {name: raw for series, state in theirs.items() for name, raw in state.changes(series).items()}
    packed = changes(ours, shape)
    assert expected == dict(packed)
    assert len(expected) == len(packed)
    assert sorted(StateChanges.of(expected).items()) == sorted(packed.items())
    assert [state.window.unsaved for state in theirs.values()] == [state.window.unsaved for state in ours.values()]


def test_what_is_packed_is_read_again() -> None:
    """Head and blocks together are the state."""
    state = state_of((2, 3), [1] * 70, 2)
    state.window.unsaved = state.window.length
    fields = changes({"a": state}, (2, 3))
    blocks = {int(name.partition("\x1f")[2]): raw for name, raw in fields.items() if name != "a"}
    again = SeriesState.decode(fields["a"], blocks)
    assert state.features == again.features
    assert np.array_equal(state.window.rows, again.window.rows)
    assert np.array_equal(state.record, again.record)
