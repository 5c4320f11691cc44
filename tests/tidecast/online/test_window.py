"""The grid, walked one reading at a time: one window alone, and many of them in a batch."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tests.harness.histories import STEP_MS, accepted, filled_in, histories
from tests.harness.oracles.doubt import Doubt
from tidecast.models import time_grid
from tidecast.models.gross_errors import MOST_DOUBTED, NO_LIMITS, Moves
from tidecast.models.model import NewestRows
from tidecast.online.kernels.placing.taking import take
from tidecast.online.kernels.readings import DUPLICATE, FIRST, LATE, Readings
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.series_rows import series_rows
from tidecast.online.window import Window
from tidecast.wire.state_format import STEPS_REMEMBERED

unhurried = hypothesis.settings(deadline=None)
USUAL, KNOWN = 1e4, (-1e5, 1e5)  # of a model's history


def take_readings(
    windows: list[Window], entries: list[tuple[int, tuple[float, ...]]], max_gap: int
) -> tuple[Readings, Rows]:
    """Add readings, each a time and a row, to their windows; return them, and the newest five rows of each."""
    n = len(entries)
    series = series_rows(
        n,
        window=[window.address for window in windows],
        width=[window.rows.shape[1] for window in windows],
        rows_read=5,
        largest_move=USUAL,
        lowest=KNOWN[0],
        highest=KNOWN[1],
    )
    ts = np.array([ts for ts, _ in entries])
    readings = Readings.of(np.zeros(n, np.int64), ts, ts)
    values = np.array([row for _, row in entries])
    rows = take(series, readings, np.ones(n, np.int64), values, max_gap, lambda _: None)
    return readings, rows


@unhurried
@hypothesis.given(histories, st.integers(1, 12), st.integers(0, 5))
def test_a_window_fed_one_reading_at_a_time_is_the_end_of_the_whole_grid(
    history: list[tuple[int, float, float]], capacity: int, max_gap: int
) -> None:
    """With gaps, duplicates, late readings and jitter, the live window holds the last rows of the last segment."""
    window = Window(capacity, 2)
    window.step_ms = STEP_MS
    ts, rows = accepted(history, window, max_gap)
    grid = time_grid.to_grid(np.array(ts), np.array(rows), STEP_MS, max_gap)
    last = grid.segment == grid.segment[-1]
    np.testing.assert_allclose(window.rows, grid.values[last][-capacity:], rtol=1e-12, atol=1e-6)
    assert window.length == min(capacity, last.sum())
    for count in range(1, capacity + 1):
        assert filled_in(window, count) == grid.filled[last][-count:].sum()


@unhurried
@hypothesis.given(histories, st.integers(1, 12))
def test_without_a_grid_each_reading_is_the_row_after_the_last(
    history: list[tuple[int, float, float]], capacity: int
) -> None:
    """All at once or one by one: no row is filled, and no silence is long enough to restart the window."""
    window = Window(capacity, 2)
    window.step_ms = STEP_MS
    window.gridded = False
    ts, rows = accepted(history, window, max_gap=0)
    grid = time_grid.to_grid(np.array(ts), np.array(rows), STEP_MS, 0, gridded=False)
    np.testing.assert_array_equal(rows, grid.values)
    assert (ts, {0}, False) == (grid.ts.tolist(), set(grid.segment.tolist()), grid.filled.any())
    np.testing.assert_array_equal(rows[-capacity:], window.rows)
    assert 0 == filled_in(window, capacity)


def test_the_same_time_is_a_duplicate_and_an_earlier_one_late() -> None:
    """Only a later time is next; the very first reading may have any time, 0 and before included."""
    window = Window(3, 1)
    readings = [(-5, (1.0,)), (-5, (2.0,)), (-6, (3.0,)), (-4, (4.0,))]
    taken, _ = take_readings([window] * 4, readings, max_gap=3)
    assert [FIRST, DUPLICATE, LATE, 0] == taken.missing.tolist()
    assert [True, False, False, True] == taken.accepted.tolist()
    assert [[1.0], [4.0]] == window.rows.tolist()


def test_after_a_long_gap_the_window_starts_anew() -> None:
    """The rows before the gap are not the past of those after it."""
    window = Window(5, 1)
    window.step_ms = STEP_MS
    for ts in (0, 1000, 2000, 100_000):
        window.push(ts, np.array([float(ts)]), 3)
    assert [[100_000.0]] == window.rows.tolist()
    assert 1 == window.length
    assert 100_000 == window.last_ts


def test_without_a_model_the_step_is_the_median_of_the_steps_seen() -> None:
    """The first reading has no step; a few odd steps do not move it."""
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
    assert len(window.steps_seen) == STEPS_REMEMBERED


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
    window = Window(before, 2)
    reference = Window(max(before, after), 2)
    for ts in range(pushes):
        for each in (window, reference):
            each.push(ts * 2000, np.array([ts, -ts], float), 3)
    window.reshape(after, columns)
    expected = reference.rows[-min(before, after) :]
    for new, old in enumerate(columns):
        np.testing.assert_array_equal(
            np.full(len(expected), np.nan) if old is None else expected[:, old], window.rows[:, new]
        )
    assert filled_in(window, after) == filled_in(reference, min(before, after))
    for ts in range(pushes, pushes + 2 * after + 1):
        window.push(ts * 2000, np.array([ts, ts, ts], float), 3)
    assert [float(pushes + 2 * after)] * 3 == window.rows[-1].tolist()
    assert after == window.length


@unhurried
@hypothesis.given(st.lists(st.tuples(st.integers(0, 2), histories), min_size=1, max_size=4), st.integers(0, 4))
def test_a_batch_does_to_its_windows_what_each_reading_does_alone(
    given: list[tuple[int, list[tuple[int, float, float]]]], max_gap: int
) -> None:
    """Windows of any shape, each as often as it has readings; the rows wanted are those of that moment."""
    pairs = [(Window(3 + 4 * i, 1 + i), Window(3 + 4 * i, 1 + i)) for i in range(3)]
    readings = [(i, ts, (a, b, float("nan"))) for i, history in given for ts, a, b in history]
    expected = []
    for i, ts, row in readings:
        window = pairs[i][0]
        width = 1 + i
        if ts <= window.last_ts:
            expected.append((DUPLICATE if ts == window.last_ts else LATE, 0, 0.0, 0, 0.0, []))
            continue
        missing = window.push(ts, row[:width], max_gap, USUAL, KNOWN)
        rows = window.newest(min(5, window.length)).ravel().tolist()
        doubted = max(0, window.doubted - missing)
        limits = (doubted, max(USUAL, window.largest_move))
        before = FIRST if window.length == 1 else missing
        expected.append((before, filled_in(window, 5), window.step or 0.0, *limits, rows))
    windows = [pairs[i][1] for i, _, _ in readings]
    taken, rows = take_readings(windows, [(ts, row) for _, ts, row in readings], max_gap)
    columns = (taken.missing, taken.filled, taken.steps, taken.doubted, taken.moves)
    assert [each[:5] for each in expected] == list(zip(*(column.tolist() for column in columns), strict=True))
    for i, each in enumerate(expected):
        np.testing.assert_array_equal(each[5], rows.window(i).ravel())
    for one, other in pairs:
        np.testing.assert_array_equal(one.rows, other.rows)
        assert (one.last_ts, one.appended, one.steps_seen) == (other.last_ts, other.appended, other.steps_seen)


readings_ = st.lists(st.integers(-20, 20) | st.sampled_from([-9999, -9999, 5000, 5001]), min_size=2, max_size=200)


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(
    readings_, st.sampled_from([0.0, 0.5, 30.0]), st.sampled_from([NO_LIMITS, (-5.0, 9.0), (-9999.0, 0.0)])
)
def test_a_window_doubts_as_the_definition_says(values: list[int], usual: float, known: tuple[float, float]) -> None:
    """Untrusted readings, their substitutes for the experts, and the usual moves are equal, bit for bit."""
    window = Window(60, 1)
    doubt = Doubt(Moves(of_model=usual), known)
    rows = np.zeros(0)
    window.step_ms = STEP_MS
    for n, y in enumerate(map(float, values)):
        doubt, rows = doubt.take(rows[-60:], y) if n else (doubt, np.array([y]))
        window.push(n * STEP_MS, [y], 3, usual, known)
        assert (doubt.run, doubt.moves.largest) == (window.doubted, window.largest_move)
        np.testing.assert_allclose(rows[-60:], window.rows[:, 0], rtol=1e-12)


def test_the_row_of_a_gross_error_counts_as_filled_and_keeps_the_other_features() -> None:
    """They were measured; a window that restarts, or has another target, has no doubt of its own."""
    window = Window(30, 2)
    window.step_ms = STEP_MS
    for n in range(20):
        window.push(n * STEP_MS, [10 + n % 3, n], 3, 2.0)
    window.push(20 * STEP_MS, [-9999, 20], 3, 2.0, (10.0, 12.0))
    assert ([11.0, 20.0], 1, 1) == (window.rows[-1].tolist(), window.doubted, filled_in(window, 30))
    window.push(99 * STEP_MS, [-9999, 99], 3, 2.0)
    assert ([[-9999.0, 99.0]], 0) == (window.rows.tolist(), window.doubted)
    window.forget_target()
    assert 0 == window.largest_move


def test_so_many_doubted_readings_in_a_row_are_enough() -> None:
    """The next one is believed, even if no two of them are near each other."""
    window = Window(60, 1)
    window.step_ms = STEP_MS
    values = [10.0 + n % 3 for n in range(20)] + [9999.0 * (-1) ** n for n in range(60)]
    doubted = []
    for n, y in enumerate(values):
        window.push(n * STEP_MS, [y], 3, 2.0, (10.0, 12.0))
        doubted.append(window.doubted)
    assert [0] * 20 + [*range(1, int(MOST_DOUBTED) + 1), 0] == doubted[: 21 + int(MOST_DOUBTED)]


def test_rows_put_before_do_not_teach_the_profiles_again() -> None:
    """They are of the model's history, so the next row to learn stays the same one under its new number."""
    window = Window(8, 1)
    older = NewestRows(1000 * np.arange(3), np.ones((3, 1)), np.zeros(3, np.int64))
    window.put_before(older, 0)
    assert (3, [3, 3]) == (window.appended, window.profiles.next_row.tolist())


def test_profiles_that_have_learned_as_much_as_the_models_stay() -> None:
    """Otherwise all their bins would be stored again."""
    window = Window(8, 1)
    window.profiles.period = 1440.0
    window.profiles.bins = 1440
    window.profiles.learned = 5.0
    window.take_profiles(window.season_profiles(), until=0)
    assert ([0, 0], [0, 0]) == (window.profiles.number.tolist(), window.unsaved_bins.tolist())
