"""The grid; scaling and sequences against naive loops."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.histories import STEP_MS, accepted, histories
from tidecast.models import time_grid
from tidecast.models.time_grid import Grid, Scaler, TargetTransform
from tidecast.online.window import Window

unhurried = hypothesis.settings(deadline=None)


def naive_grid(ts: list[int], rows: list[list[float]], step_ms: float, max_gap: int) -> tuple[list, list, list]:
    """Return the grid in plain loops: (rows, segment numbers, filled flags)."""
    out = [rows[0]]
    segments = [0]
    filled = [False]
    for before, now, old, new in zip(ts, ts[1:], rows, rows[1:], strict=False):
        places = max(1, round((now - before) / step_ms))
        if places - 1 > max_gap:
            segments.append(segments[-1] + 1)
        else:
            for i in range(1, places):
                out.append([a + (b - a) * i / places for a, b in zip(old, new, strict=True)])
                segments.append(segments[-1])
                filled.append(True)
            segments.append(segments[-1])
        out.append(new)
        filled.append(False)
    return out, segments, filled


@unhurried
@hypothesis.given(histories, st.integers(0, 5))
def test_the_grid_is_what_plain_loops_say(history: list[tuple[int, float, float]], max_gap: int) -> None:
    """Places, segments, filled flags and interpolated values equal those of a naive walk."""
    ts, rows = accepted(history, Window(1, 2), max_gap)
    grid = time_grid.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    values, segments, filled = naive_grid(ts, rows, STEP_MS, max_gap)
    np.testing.assert_allclose(grid.values, values, rtol=1e-12, atol=1e-6)
    assert segments == grid.segment.tolist()
    assert filled == grid.filled.tolist()
    assert ts == grid.ts[~grid.filled].tolist()


def test_an_empty_history_is_an_empty_grid() -> None:
    """No reading, no row, no sequence."""
    grid = time_grid.to_grid(np.zeros(0, np.int64), np.zeros((0, 2)), STEP_MS, 3)
    assert [0, 0] == [len(grid), len(time_grid.sequences(grid, 4))]


def ramp(ts: list[int], max_gap: int = 2) -> Grid:
    """Return a grid whose target is the time in steps."""
    return time_grid.to_grid(np.array(ts) * STEP_MS, np.array(ts, float)[:, None], STEP_MS, max_gap)


def test_a_gap_of_max_gap_is_filled_and_a_longer_one_starts_a_segment() -> None:
    """The boundary: two missing steps are interpolated, three are not."""
    grid = ramp([0, 3, 4, 8, 9], max_gap=2)
    assert [0.0, 1.0, 2.0, 3.0, 4.0, 8.0, 9.0] == grid.values[:, 0].tolist()
    assert [0, 0, 0, 0, 0, 1, 1] == grid.segment.tolist()
    assert [False, True, True, False, False, False, False] == grid.filled.tolist()


@unhurried
@hypothesis.given(histories, st.integers(1, 8), st.integers(0, 4))
def test_sequences_are_every_unbroken_window_with_a_measured_target(
    history: list[tuple[int, float, float]], length: int, max_gap: int
) -> None:
    """Neither a window across a break nor a target that was not measured is used."""
    ts, rows = accepted(history, Window(1, 2), max_gap)
    grid = time_grid.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    expected = [
        row
        for row in range(length, len(grid))
        if len(set(grid.segment[row - length : row + 1])) == 1 and not grid.filled[row - 1 : row + 1].any()
    ]
    examples = time_grid.sequences(grid, length)
    assert expected == examples.rows.tolist()
    assert (len(expected), length, 2) == examples.windows.shape
    for i, row in enumerate(expected):
        np.testing.assert_array_equal(grid.values[row - length : row], examples.windows[i])
        assert grid.values[row, 0] == examples.targets[i]


@unhurried
@hypothesis.given(histories, st.integers(1, 8), st.integers(0, 8), st.integers(0, 4))
def test_sequences_may_reach_back_beyond_what_they_must_have(
    history: list[tuple[int, float, float]], length: int, more: int, max_gap: int
) -> None:
    """A window reaches back as far as its segment; the rows before it are zeros, and `held` counts the real ones."""
    ts, rows = accepted(history, Window(1, 2), max_gap)
    grid = time_grid.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    plain = time_grid.sequences(grid, length)
    longer = time_grid.sequences(grid, length, length + more)
    np.testing.assert_array_equal(plain.rows, longer.rows)
    np.testing.assert_array_equal(plain.targets, longer.targets)
    np.testing.assert_array_equal(plain.windows, longer.windows[:, more:])
    assert [length] * len(plain) == plain.held.tolist()
    for i, row in enumerate(longer.rows.tolist()):
        past = [grid.values[r] for r in range(row) if grid.segment[r] == grid.segment[row]][-length - more :]
        assert len(past) == longer.held[i]
        np.testing.assert_array_equal([[0.0, 0.0]] * (length + more - len(past)) + past, longer.windows[i])


def test_the_rows_before_any_row_end_where_its_past_begins() -> None:
    """Also for the first row of a segment, whose past is the segment before."""
    grid = ramp([0, 1, 2, 9, 10], max_gap=2)
    windows, held = time_grid.windows_before(grid, np.array([0, 1, 2, 3, 4, 5]), 3)
    assert [0, 1, 2, 3, 1, 2] == held.tolist()
    assert [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 9], [0, 9, 10]] == windows[..., 0].tolist()


def test_a_part_of_the_sequences_has_its_own_targets_and_reaches_back_before_it() -> None:
    """From the first row that may be a target to the row before the stop."""
    part = time_grid.sequences(ramp(list(range(8))), 3, start=4, stop=6)
    assert [4, 5] == part.rows.tolist()
    assert [4.0, 5.0] == part.targets.tolist()
    assert [[1, 2, 3], [2, 3, 4]] == part.windows[..., 0].tolist()


def test_the_typical_step_is_the_median_and_needs_two_readings() -> None:
    """One outage does not change the step."""
    assert 1000.0 == time_grid.typical_step(np.array([0, 1000, 2000, 900_000, 901_000, 902_000]))
    with pytest.raises(ValueError, match="two readings"):
        time_grid.typical_step(np.array([5]))


@pytest.mark.parametrize("form", ["change", "level", "raw"])
def test_a_constant_series_scales_to_something_finite(form: TargetTransform) -> None:
    """No division by zero, even of a single row."""
    for rows in (1, 2, 9):
        scaler = Scaler.fit(np.full((rows, 2), 3.0), form)
        assert (scaler.scale == 1).all()
        assert np.isfinite(scaler.center).all()


def test_one_spike_hardly_moves_the_scale_of_the_changes() -> None:
    """The mean distance from the median change, not its square."""
    changes = np.array([1.0, 1.0, 2.0, 1.0, 0.0])
    assert 0.4 == pytest.approx(time_grid.change_scale(np.cumsum([0, *changes])))
    assert 1.0 == time_grid.change_scale(np.zeros(1))
