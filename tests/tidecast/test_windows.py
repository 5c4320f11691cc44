"""The grid, walked at once and one reading at a time; scaling and sequences against naive loops."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tidecast import windows
from tidecast.windows import Float, Form, Grid, Scaler, Window

STEP_MS = 1000
unhurried = hypothesis.settings(deadline=None)
# Gaps of all kinds: repeated and earlier times, jitter, some missing steps, long silences.
deltas = st.one_of(
    st.sampled_from([0, -500, 1, STEP_MS, STEP_MS, STEP_MS, 2 * STEP_MS, 3 * STEP_MS, 500 * STEP_MS, 10**11]),
    st.integers(600, 6400),
)
histories = st.lists(st.tuples(deltas, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=60)


def naive_grid(ts: list[int], rows: list[list[float]], step_ms: float, max_gap: int) -> tuple[list, list, list]:
    """The grid in plain loops: (rows, segment numbers, filled flags)."""
    out, segments, filled = [rows[0]], [0], [False]
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


def accepted(history: list[tuple[int, float, float]], window: Window, max_gap: int) -> tuple[list[int], list]:
    """Push what the window accepts; returns the accepted times and rows."""
    ts, kept_ts, kept_rows = 1_000_000, [], []
    for delta, a, b in history:
        ts += delta
        if window.accepts(ts) == "next":
            window.push(ts, np.array([a, b]), max_gap)
            kept_ts.append(ts)
            kept_rows.append([a, b])
        else:
            ts -= min(delta, 0)
    return kept_ts, kept_rows


@unhurried
@hypothesis.given(histories, st.integers(1, 12), st.integers(0, 5))
def test_a_window_fed_one_reading_at_a_time_is_the_end_of_the_whole_grid(
    history: list[tuple[int, float, float]], capacity: int, max_gap: int
) -> None:
    """With gaps, duplicates, late readings and jitter, the live window holds the last rows of the last segment."""
    window = Window(capacity, 2)
    window.step_ms = STEP_MS
    ts, rows = accepted(history, window, max_gap)
    grid = windows.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    last = grid.segment == grid.segment[-1]
    np.testing.assert_allclose(window.rows, grid.values[last][-capacity:], rtol=1e-12, atol=1e-6)
    assert window.length == min(capacity, last.sum())
    for count in range(1, capacity + 1):
        assert window.filled_in(count) == grid.filled[last][-count:].sum()


@unhurried
@hypothesis.given(histories, st.integers(0, 5))
def test_the_grid_is_what_plain_loops_say(history: list[tuple[int, float, float]], max_gap: int) -> None:
    """Places, segments, filled flags and interpolated values equal those of a naive walk."""
    ts, rows = accepted(history, Window(1, 2), max_gap)
    grid = windows.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    values, segments, filled = naive_grid(ts, rows, STEP_MS, max_gap)
    np.testing.assert_allclose(grid.values, values, rtol=1e-12, atol=1e-6)
    assert segments == grid.segment.tolist()
    assert filled == grid.filled.tolist()
    assert ts == grid.ts[~grid.filled].tolist()


def test_an_empty_history_is_an_empty_grid() -> None:
    """No reading, no row, no sequence."""
    grid = windows.to_grid(np.zeros(0, np.int64), np.zeros((0, 2)), STEP_MS, 3)
    assert [0, 0] == [len(grid), len(windows.sequences(grid, 4))]


def ramp(ts: list[int], max_gap: int = 2) -> Grid:
    """A grid whose target is the time in steps."""
    return windows.to_grid(np.array(ts) * STEP_MS, np.array(ts, float)[:, None], STEP_MS, max_gap)


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
    """Neither a window across a break nor a target that nobody measured."""
    ts, rows = accepted(history, Window(1, 2), max_gap)
    grid = windows.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    expected = [
        row
        for row in range(length, len(grid))
        if len(set(grid.segment[row - length : row + 1])) == 1 and not grid.filled[row - 1 : row + 1].any()
    ]
    found = windows.sequences(grid, length)
    assert expected == found.rows.tolist()
    assert (len(expected), length, 2) == found.windows.shape
    for i, row in enumerate(expected):
        np.testing.assert_array_equal(grid.values[row - length : row], found.windows[i])
        assert grid.values[row, 0] == found.targets[i]


@unhurried
@hypothesis.given(histories, st.integers(1, 8), st.integers(0, 8), st.integers(0, 4))
def test_sequences_may_reach_back_beyond_what_they_must_have(
    history: list[tuple[int, float, float]], length: int, more: int, max_gap: int
) -> None:
    """Where the segment goes back so far; the rows before it are zeros, and `held` says how many are real."""
    ts, rows = accepted(history, Window(1, 2), max_gap)
    grid = windows.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    plain, found = windows.sequences(grid, length), windows.sequences(grid, length, length + more)
    np.testing.assert_array_equal(plain.rows, found.rows)
    np.testing.assert_array_equal(plain.targets, found.targets)
    np.testing.assert_array_equal(plain.windows, found.windows[:, more:])
    assert [length] * len(plain) == plain.held.tolist()
    for i, row in enumerate(found.rows.tolist()):
        past = [grid.values[r] for r in range(row) if grid.segment[r] == grid.segment[row]][-length - more :]
        assert len(past) == found.held[i]
        np.testing.assert_array_equal([[0.0, 0.0]] * (length + more - len(past)) + past, found.windows[i])


def test_the_rows_before_any_row_end_where_its_past_begins() -> None:
    """Also for the first row of a segment, whose past is the segment before."""
    grid = ramp([0, 1, 2, 9, 10], max_gap=2)
    found, held = windows.windows_before(grid, np.array([0, 1, 2, 3, 4, 5]), 3)
    assert [0, 1, 2, 3, 1, 2] == held.tolist()
    assert [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 9], [0, 9, 10]] == found[..., 0].tolist()


@unhurried
@hypothesis.given(histories, st.integers(1, 12))
def test_without_a_grid_each_reading_is_the_row_after_the_last(
    history: list[tuple[int, float, float]], capacity: int
) -> None:
    """At once and one by one: no row is filled, and no silence is long enough to start anew."""
    window = Window(capacity, 2)
    window.step_ms, window.gridded = STEP_MS, False
    ts, rows = accepted(history, window, max_gap=0)
    grid = windows.to_grid(np.array(ts), np.array(rows), STEP_MS, 0, gridded=False)
    np.testing.assert_array_equal(rows, grid.values)
    assert (ts, {0}, False) == (grid.ts.tolist(), set(grid.segment.tolist()), grid.filled.any())
    np.testing.assert_array_equal(rows[-capacity:], window.rows)
    assert 0 == window.filled_in(capacity)


def test_a_selection_of_sequences_keeps_window_target_and_row_together() -> None:
    """The mask applies to all of them."""
    chosen = windows.sequences(ramp(list(range(8))), 3).where(np.array([True, False, False, False, True]))
    assert [3, 7] == chosen.rows.tolist()
    assert [3.0, 7.0] == chosen.targets.tolist()
    assert [2.0, 6.0] == chosen.windows[:, -1, 0].tolist()


def test_the_typical_step_is_the_median_and_needs_two_readings() -> None:
    """One outage does not change the step."""
    assert 1000.0 == windows.typical_step(np.array([0, 1000, 2000, 900_000, 901_000, 902_000]))
    with pytest.raises(ValueError, match="two readings"):
        windows.typical_step(np.array([5]))


def test_the_same_time_is_a_duplicate_and_an_earlier_one_late() -> None:
    """Only a later time is next; the very first reading may have any time, 0 and before included."""
    window = Window(3, 1)
    assert window.accepts(-5) == "next"
    window.push(-5, np.array([1.0]), 3)
    assert ["duplicate", "late", "next"] == [window.accepts(ts) for ts in (-5, -6, -4)]


def test_after_a_long_gap_the_window_starts_anew() -> None:
    """What came before the gap is not the past of what came after."""
    window = Window(5, 1)
    window.step_ms = STEP_MS
    for ts in (0, 1000, 2000, 100_000):
        window.push(ts, np.array([float(ts)]), 3)
    assert [[100_000.0]] == window.rows.tolist()
    assert 1 == window.length
    assert window.accepts(2000) == "late"


def test_without_a_model_the_step_is_the_median_of_the_steps_seen() -> None:
    """The first reading knows no step; a few odd steps do not move it."""
    window = Window(8, 1)
    steps: list[float | None] = []
    for ts in (0, 1000, 2000, 2400, 3400, 4400):
        window.push(ts, np.array([0.0]), 3)
        steps.append(window.step)
    assert [None, 1000.0, 1000.0, 1000.0, 1000.0, 1000.0] == steps


def test_only_the_newest_steps_are_remembered() -> None:
    """A series that changes its pace is followed, and its state does not grow."""
    window = Window(4, 1)
    for ts in [*range(0, 100_000, 1000), *range(100_000, 100_000 + 20 * 60_000, 60_000)]:
        window.push(ts, np.array([0.0]), 1000)
    assert window.step == 60_000.0
    assert len(window.steps_seen) == windows.STEPS_REMEMBERED


def test_a_missing_feature_carries_its_last_value() -> None:
    """NaN stands until the first value, then never again, also across a filled gap and a restart."""
    window = Window(8, 2)
    window.step_ms = STEP_MS
    nan = float("nan")
    for ts, feature in ((0, nan), (1000, 5.0), (2000, nan), (4000, nan), (100_000, nan)):
        window.push(ts, np.array([1.0, feature]), 3)
        if ts == 4000:
            np.testing.assert_array_equal([nan, 5, 5, 5, 5], window.rows[:, 1])
    assert [[1.0, 5.0]] == window.rows.tolist()


def test_what_newest_returns_does_not_change_with_the_next_reading() -> None:
    """A batch keeps the windows of many readings of one series."""
    window = Window(2, 1)
    kept = []
    for ts in range(6):
        window.push(ts * 1000, np.array([float(ts)]), 3)
        kept.append(window.newest(1))
    assert [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] == [float(rows[0, 0]) for rows in kept]


@unhurried
@hypothesis.given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 25), st.permutations([0, 1, None]))
def test_another_shape_keeps_the_newest_rows_of_the_columns_that_go_on(
    before: int, after: int, pushes: int, columns: list[int | None]
) -> None:
    """Rows and columns that fit stay, new columns are unknown, and the window goes on as if always so."""
    window, reference = Window(before, 2), Window(max(before, after), 2)
    for ts in range(pushes):
        for each in (window, reference):
            each.push(ts * 2000, np.array([ts, -ts], float), 3)
    window.reshape(after, columns)
    expected = reference.rows[-min(before, after) :]
    for new, old in enumerate(columns):
        np.testing.assert_array_equal(
            np.full(len(expected), np.nan) if old is None else expected[:, old], window.rows[:, new]
        )
    assert window.filled_in(after) == reference.filled_in(min(before, after))
    for ts in range(pushes, pushes + 2 * after + 1):
        window.push(ts * 2000, np.array([ts, ts, ts], float), 3)
    assert [float(pushes + 2 * after)] * 3 == window.rows[-1].tolist()
    assert after == window.length


@pytest.mark.parametrize("form", ["change", "level", "raw"])
def test_scaled_windows_are_what_plain_loops_say(form: Form) -> None:
    """Every element equals its formula, and NaN means the middle."""
    rng = np.random.default_rng(0)
    data = rng.normal(50, 8, size=(4, 6, 3))
    data[1, 2, 2] = np.nan
    scaler = Scaler.fit(rng.normal(40, 5, size=(50, 3)), form)
    scaled = windows.scale_windows(data, scaler.center, scaler.scale, form)
    for i, t, f in np.ndindex(data.shape):
        base = data[i, -1, 0] if form == "change" and f == 0 else scaler.center[f]
        value = 0.0 if np.isnan(data[i, t, f]) else (data[i, t, f] - base) / scaler.scale[f]
        assert scaled[i, t, f] == pytest.approx(value if form == "raw" else min(max(value, -20), 20))


def test_in_the_form_change_no_change_is_zero_and_a_spike_is_clipped() -> None:
    """The level does not matter, and no reading leaves the trained range."""
    flat: Float = np.array([[[7.0], [7.0], [7.0]], [[1e30], [0.0], [7.0]]])
    scaled = windows.scale_windows(flat, np.zeros(1), np.ones(1), "change")
    assert [[0.0, 0.0, 0.0], [20.0, -7.0, 0.0]] == scaled[..., 0].tolist()


@pytest.mark.parametrize("form", ["change", "level", "raw"])
def test_a_constant_series_scales_to_something_finite(form: Form) -> None:
    """No division by zero, even of a single row."""
    for rows in (1, 2, 9):
        scaler = Scaler.fit(np.full((rows, 2), 3.0), form)
        assert (scaler.scale == 1).all()
        assert np.isfinite(scaler.center).all()


def test_one_spike_hardly_moves_the_scale_of_the_changes() -> None:
    """The mean distance from the median change, not its square."""
    changes = np.array([1.0, 1.0, 2.0, 1.0, 0.0])
    assert 0.4 == pytest.approx(windows.change_scale(np.cumsum([0, *changes])))
    assert 1.0 == windows.change_scale(np.zeros(1))
