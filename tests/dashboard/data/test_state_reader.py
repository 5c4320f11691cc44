"""The rows of a stored state, as the worker writes it and the dashboard reads it."""

import numpy as np
import pytest

from dashboard.data.state_reader import StoredWindow
from tidecast.errors import StateError
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.wire.state_format import BLOCK, SEPARATOR, STATE_FORMAT, field_names

NAME = "boiler-7"
STEP_MS = 1000


def stored(capacity: int, width: int, readings: int, *, gap_at: int = -1) -> tuple[Window, dict[str, bytes]]:
    """Return a window after readings that came one to a commit, and the fields that the commits wrote."""
    rng = np.random.default_rng(readings)
    window = Window(capacity, width)
    state = SeriesState(("value", "flow", "level")[:width], window)
    fields = {}
    for i in range(readings):
        ts = STEP_MS * i + (10**9 if i >= gap_at >= 0 else 0)
        window.push(ts, rng.normal(size=width), 3)
        fields |= state.changes(NAME)
    return window, fields


def read(fields: dict[str, bytes], capacity: int) -> StoredWindow | None:
    """Return the state as the dashboard reads it, for a window of this capacity."""
    return StoredWindow.decode([fields.get(name) for name in field_names(NAME, capacity)])


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("capacity", [2, 31, 32, 33, 100])
@pytest.mark.parametrize("readings", [1, 32, 33, 64, 250])
def test_the_rows_are_those_that_the_worker_holds(capacity: int, width: int, readings: int) -> None:
    """To the last bit, however often the blocks have gone round."""
    window, fields = stored(capacity, width, readings)
    state = read(fields, capacity)
    assert state is not None
    np.testing.assert_array_equal(window.rows, state.rows)
    assert (capacity, STEP_MS * (readings - 1)) == (state.capacity, state.last_ts)
    assert ("value", "flow", "level")[:width] == state.features


def test_after_a_long_gap_the_rows_begin_anew() -> None:
    """The blocks' rows from before the gap are not read."""
    window, fields = stored(100, 1, 70, gap_at=50)
    state = read(fields, 100)
    assert state is not None
    assert 20 == len(state.rows)
    np.testing.assert_array_equal(window.rows, state.rows)


def test_a_missing_block_ends_the_rows() -> None:
    """The newest ones are there."""
    window, fields = stored(100, 1, 100)
    del fields[f"{NAME}{SEPARATOR}1"]
    state = read(fields, 100)
    assert state is not None
    np.testing.assert_array_equal(window.rows[64:], state.rows)


def test_a_block_from_an_earlier_round_ends_the_rows_too() -> None:
    """It holds others than those that belong there."""
    window, fields = stored(100, 1, 200)
    place = f"{NAME}{SEPARATOR}0"  # of the block before the newest, and of the first of all
    state = read(fields | {place: stored(100, 1, 40)[1][place]}, 100)
    assert state is not None
    np.testing.assert_array_equal(window.rows[-8:], state.rows)


def test_a_window_of_another_capacity_says_its_own() -> None:
    """Its full blocks lie elsewhere, so only the rows in the head are taken."""
    _, fields = stored(200, 1, 150)
    state = read(fields, 32)
    assert state is not None
    assert (200, 150 % BLOCK) == (state.capacity, len(state.rows))


def test_a_series_that_nobody_remembers_has_no_rows() -> None:
    """It is treated as a new series."""
    assert read({}, 32) is None


@pytest.mark.parametrize(
    ("head", "said"),
    [(b"", "format none"), (b"\xff", "format 255"), (bytes([STATE_FORMAT, 1, 0, 0, 0]), "5 bytes is cut short")],
)
def test_a_state_that_cannot_be_read_is_a_sentence(head: bytes, said: str) -> None:
    """Of another format, or not whole."""
    with pytest.raises(StateError, match=said):
        read({NAME: head}, 32)
