"""The inputs of a network, against plain loops, and the way back to the series' unit."""

from datetime import UTC, datetime
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tidecast.arrays import Float
from tidecast.models.inputs import Inputs, active_cycles, calendar_inputs, rows_read
from tidecast.models.pretrained.inputs import UNCHANGED
from tidecast.models.spec import Spec
from tidecast.models.time_grid import CLIP
from tidecast.online.kernels.networks.inputs import prepare
from tidecast.online.kernels.rows import Rows

unhurried = hypothesis.settings(deadline=None, max_examples=60)
REACH = 20


def some_rows(seed: int, count: int = 4, features: int = 1) -> Float:
    """Random rows of a level that a scale of 1 does not clip."""
    return np.random.default_rng(seed).normal(20, 4, (count, REACH, features))


def prepared(
    rows: Float,
    spec: Spec,
    held: list[int] | None = None,
    seasons: Any = (),
    center: float = 0.0,
    scale: float = 1.0,
    linear: Float | None = None,
    calendar: Float | None = None,
) -> Inputs:
    """Return the inputs of windows that share their seasons and scaler."""
    n = len(rows)
    _, reach, width = rows.shape
    stacked = Rows.of_windows(rows, np.array(held or [reach] * n))
    scaler = np.full((n, width), center), np.full((n, width), scale)
    return prepare(stacked, spec, scaler, np.tile(np.array(seasons, np.int64).reshape(-1), (n, 1)), linear, calendar)


def test_the_target_after_a_window_that_does_not_change_is_clipped_quietly() -> None:
    """A cohort may have long constant stretches, also at large values: no warning reaches the user."""
    after_nothing = Inputs(np.zeros((2, 1, 1), np.float32), np.array([1e9, 1e9]), np.full(2, UNCHANGED))
    assert after_nothing.targets(np.array([6e9, 1e9]), Spec()).tolist() == [CLIP, 0]


def test_a_calendar_input_is_the_phase_of_what_follows() -> None:
    """Midnight is the day's 0 and noon its half turn, whatever the step; a cycle left out has inputs of 0."""
    spec = Spec(window=3, calendar=("day", "week"))
    noon = int(datetime(2024, 3, 4, 12, tzinfo=UTC).timestamp() * 1000)
    quarter = 6 * 3_600_000
    cycles = np.stack([active_cycles(spec, ["day"]), active_cycles(spec, ["week", "year"])])
    day, week = calendar_inputs(spec, cycles, np.array([noon, noon]), np.array([quarter, 2.0 * quarter]))
    np.testing.assert_allclose([[0, 1, 0, 0], [1, 0, 0, 0], [0, -1, 0, 0]], day, atol=1e-9)
    assert not week[:, :2].any()
    turned = np.diff(np.unwrap(np.arctan2(week[:, 2], week[:, 3])))
    np.testing.assert_allclose([2 * np.pi / 14] * 2, turned)


def test_a_year_has_its_leap_days() -> None:
    """The same day four years later is the same phase."""
    days = [int(datetime(year, 3, 1, tzinfo=UTC).timestamp() * 1000) for year in (2020, 2024)]
    spec = Spec(window=2, calendar=("year",))
    before, after = calendar_inputs(spec, np.ones((2, 1)), np.array(days), np.full(2, 86_400_000.0))
    np.testing.assert_allclose(before, after, atol=1e-9)


def test_the_calendar_comes_last_and_is_silent_where_no_time_is_known() -> None:
    """Beside the seasonal channels, which it leaves where they are."""
    spec = Spec(window=5, seasonal=1, calendar=("year",))
    rows = some_rows(4)
    plain = Spec(window=5, seasonal=1)
    waves = calendar_inputs(spec, np.ones((4, 1)), np.full(4, 1_700_000_000_000), np.full(4, 3_600_000.0))
    without, informed = (prepared(rows, spec, seasons=(7,), calendar=given).x for given in (None, waves))
    np.testing.assert_array_equal(prepared(rows, plain, seasons=(7,)).x, without[..., :3])
    np.testing.assert_array_equal(without[..., :3], informed[..., :3])
    np.testing.assert_allclose(waves, informed[..., 3:], rtol=1e-6)
    assert not without[..., 3:].any()


def test_a_row_does_not_depend_on_the_others() -> None:
    """To the last bit, in every option at once."""
    spec = Spec(window=5, normalise=True, seasonal=2, residual=True)
    rows = some_rows(1, 30)
    held = [*range(1, 16)] * 2
    linear = np.arange(30.0)
    whole = prepared(rows, spec, held, (3, 9), linear=linear)
    for i in range(30):
        alone = prepared(rows[i : i + 1], spec, held[i : i + 1], (3, 9), linear=linear[i : i + 1])
        np.testing.assert_array_equal(whole.x[i], alone.x[0])
        assert (whole.base[i], whole.size[i]) == (alone.base[0], alone.size[0])


def test_a_constant_window_of_an_unknown_scale_is_zero() -> None:
    """A young series that has not moved yet: finite inputs, and any answer means its value."""
    inputs = prepared(np.full((1, REACH, 1), 7.0), Spec(window=5, normalise=True), scale=0.0)
    assert [0.0] * 5 == inputs.x.ravel().tolist()
    assert 0 < inputs.size[0] < 1e-30
    assert [7.0] == inputs.restore(np.array([3.0])).tolist()


def test_a_network_that_skips_learns_what_the_linear_expert_leaves() -> None:
    """Its answer of zero is the linear expert's, or the last value where that expert has no answer."""
    rows = some_rows(3, 2)
    inputs = prepared(rows, Spec(window=5, residual=True), scale=2.0, linear=np.array([31.0, np.nan]))
    assert [31.0, rows[1, -1, 0]] == inputs.restore(np.zeros(2)).tolist()
    assert [33.0, rows[1, -1, 0] + 2.0] == inputs.restore(np.ones(2)).tolist()
    np.testing.assert_array_equal(prepared(rows, Spec(window=5), scale=2.0).x, inputs.x)


@unhurried
@hypothesis.given(st.integers(0, 100), st.sampled_from(["change", "level", "raw"]), st.booleans(), st.booleans())
def test_restored_targets_are_what_came(seed: int, form: Any, normalise: bool, residual: bool) -> None:
    """The way to the network's unit and back, in every form, within the clip."""
    spec = Spec(window=5, target_transform=form, normalise=normalise, residual=residual)
    inputs = prepared(some_rows(seed), spec, center=18.0, scale=3.0, linear=np.full(4, 21.0))
    actual = np.array([19.0, 20.0, 21.0, 22.0])
    targets = inputs.targets(actual, spec)
    assert np.float32 == targets.dtype
    if np.abs(targets).max() < CLIP:
        np.testing.assert_allclose(actual, inputs.restore(targets), rtol=1e-5)


def test_a_spike_is_clipped_as_a_target_of_a_change_alone() -> None:
    """A level may be anywhere: it is not clipped."""
    rows = some_rows(0, 1)
    for form, expected in (("change", CLIP), ("level", 1e6), ("raw", 1e6)):
        spec = Spec.model_validate({"window": 5, "target_transform": form})
        assert expected == prepared(rows, spec).targets(np.array([1e6]), spec)[0]


@pytest.mark.parametrize(("seasons", "rows"), [((), 5), ((0,), 5), ((7,), 11), ((7, 24), 28)])
def test_a_network_reads_the_rows_of_its_first_steps_season(seasons: tuple[int, ...], rows: int) -> None:
    """The window, and a season before its second step; with exactly those every value is known."""
    spec = Spec(window=5, seasonal=len(seasons))
    assert rows == rows_read(spec, np.array(seasons, np.int64))
    values = np.arange(float(rows))[None, :, None]
    if 0 not in seasons:
        assert prepared(values, spec, seasons=seasons).x[..., 2::2].all()
        assert len(seasons) == 0 or not prepared(values, spec, [rows - 1], seasons).x[..., 2::2].all()
