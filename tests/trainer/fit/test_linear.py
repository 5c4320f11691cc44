"""The linear experts find linear relations, and leave alone those for which there are too few rows."""

import numpy as np
import pytest

from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, LINEAR, TERMS
from tidecast.models.time_grid import Grid, to_grid, windows_before
from tidecast.online.offline import linear_forecasts
from trainer.fit.cross_validation import cross_validate
from trainer.fit.linear import examples, fit_panel, least_absolute, ridge, seasonal_lags

STEP = 1000
NAMES = [EXPERTS[i] for i in LINEAR]


def grid_of(values: Float, steps: Float | None = None, max_gap: int = 3) -> Grid:
    """Return rows on a grid, `(rows,)` or `(rows, features)`."""
    columns = values[:, None] if values.ndim == 1 else values
    ts = np.cumsum(np.ones(len(values)) if steps is None else steps).astype(np.int64) * STEP
    return to_grid(ts, columns, STEP, max_gap)


def autoregressive(rows: int = 600, noise: float = 0.1, seed: int = 0) -> Float:
    """Return a series that follows from its last two values."""
    rng = np.random.default_rng(seed)
    y = np.zeros(rows)
    for t in range(2, rows):
        y[t] = 1.6 * y[t - 1] - 0.9 * y[t - 2] + noise * rng.normal()
    return y


def errors_on(grid: Grid, seasons: tuple[int, ...], stop: int) -> dict[str, float]:
    """Each expert's mean absolute error on the rows from `stop` on, fitted before."""
    panel = fit_panel(grid, seasons, stop)
    rows = np.arange(stop, len(grid))
    answers = linear_forecasts(panel, *windows_before(grid, rows, panel.rows))
    return dict(zip(["naive", *NAMES], np.abs(answers - grid.values[rows, :1]).mean(axis=0).tolist(), strict=True))


def test_an_autoregression_is_found_to_its_noise() -> None:
    """By ridge and by least absolute deviations; the error left is that of the noise."""
    errors = errors_on(grid_of(autoregressive()), (), 500)
    noise = 0.1 * np.sqrt(2 / np.pi)
    assert errors["naive"] > 1.4 * noise
    assert errors["linear"] == pytest.approx(noise, rel=0.25)
    assert errors["linear_robust"] == pytest.approx(noise, rel=0.25)


def test_a_season_that_repeats_is_answered_by_the_seasonal_experts() -> None:
    """Shapes that no recent lag foretells: each season's own random profile."""
    profile = np.random.default_rng(1).normal(size=37)
    values = np.tile(profile, 20) + 0.01 * np.random.default_rng(2).normal(size=740)
    errors = errors_on(grid_of(values), (37,), 600)
    assert max(errors[name] for name in ("seasonal_naive", "linear", "linear_robust")) < 0.03
    assert errors["linear_recent"] > 0.1


def test_the_level_is_no_matter() -> None:
    """A series moved by a million has the same experts: all is relative to the newest value."""
    y = autoregressive()
    low, high = (fit_panel(grid_of(values), (), 500) for values in (y, y + 2**20))
    np.testing.assert_allclose(low.coefficients, high.coefficients, atol=1e-4)


def test_another_feature_that_leads_is_used() -> None:
    """The target repeats the feature's value of one row before."""
    lead = np.random.default_rng(0).normal(size=400)
    values = np.stack([np.concatenate([[0.0], lead[:-1]]), lead], axis=1)
    errors = errors_on(grid_of(values), (), 300)
    assert errors["linear"] < 0.05 * errors["naive"]
    assert errors["linear_robust"] < 0.05 * errors["naive"]


@pytest.mark.parametrize("fit", [ridge, least_absolute])
def test_coefficients_and_intercept_are_recovered(fit: object) -> None:
    """In the terms' own units, however different they are."""
    rng = np.random.default_rng(0)
    terms = rng.normal([0, 50, -3], [1, 20, 0.01], size=(2000, 3))
    coefficients, intercept = fit(terms, terms @ [2.0, -0.5, 30.0] + 7)  # type: ignore[operator] # both are functions
    assert coefficients.tolist() == pytest.approx([2.0, -0.5, 30.0], rel=0.01)
    assert intercept == pytest.approx(7, rel=0.02)


def test_spikes_bend_ridge_but_not_the_least_absolute_deviations() -> None:
    """One wild reading in twenty, as sensors have them."""
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(1000, 2))
    moves = terms @ [1.0, -2.0]
    moves[::20] += 200 * terms[::20, 0]
    robust = least_absolute(terms, moves)[0]
    plain = ridge(terms, moves)[0]
    assert robust.tolist() == pytest.approx([1.0, -2.0], abs=0.05)
    assert abs(plain[0] - 1) > 5


def test_a_constant_term_and_constant_moves_are_no_trouble() -> None:
    """No spread or size of zero is a divisor."""
    terms = np.column_stack([np.ones(50), np.arange(50.0)])
    for fit in (ridge, least_absolute):
        coefficients, intercept = fit(terms, np.zeros(50))
        assert np.isfinite([*coefficients, intercept]).all()
        assert coefficients.tolist() == pytest.approx([0, 0], abs=1e-9)


def test_an_expert_that_the_rows_cannot_bear_is_left_out() -> None:
    """Two dozen coefficients are not fitted to thirty rows; smoothing and the season remain."""
    panel = fit_panel(grid_of(autoregressive(45)), (7,), 45)
    there = {name for name, needs in zip(NAMES, panel.needs, strict=True) if needs}
    assert there == {"seasonal_naive", "smoothing"}
    more = fit_panel(grid_of(autoregressive(120)), (7,), 120)
    assert {"linear", "linear_robust", "linear_recent"} <= {
        n for n, needs in zip(NAMES, more.needs, strict=True) if needs
    }


def test_rows_from_the_stop_on_are_not_touched() -> None:
    """Filled rows are not examples either, nor is the row after a gap."""
    y = autoregressive(300)
    wild = y.copy()
    wild[200:] = 1e6
    clean, disturbed = (fit_panel(grid_of(values), (12,), 200) for values in (y, wild))
    np.testing.assert_array_equal(clean.coefficients, disturbed.coefficients)
    steps = np.ones(300)
    steps[50], steps[100] = 3, 50
    grid = grid_of(y, steps)
    terms, moves = examples(grid, np.array([1, 2]), np.zeros(2, np.int64), len(grid))
    assert len(moves) == 300 - 1 - 2  # neither the reading after the short gap, nor the one after the long
    assert np.isnan(terms).any(axis=1).sum() == 2 + 2  # at the beginning, and after the long gap


def test_the_terms_are_padded_to_whole_blocks() -> None:
    """So that a sum has the same bits whatever slab it lies in."""
    panel = fit_panel(grid_of(autoregressive()), (7, 30), 600)
    assert len(panel.lags) % TERMS == 0
    assert not panel.coefficients[:, np.flatnonzero(panel.lags == 0)].any()


def test_seasonal_lags_lie_around_one_season_and_two() -> None:
    """Two seasons back only where the rows hold four."""
    assert seasonal_lags((24,), 1000) == [23, 24, 25, 47]
    assert seasonal_lags((24,), 90) == [23, 24, 25]
    assert seasonal_lags((), 1000) == []


def test_a_cross_validation_tells_the_errors_of_a_fit_on_all_rows() -> None:
    """Of a hundred rows without the newest forty too few are left to fit many terms; no row is fitted to itself."""
    long = grid_of(autoregressive(2000))
    short = grid_of(long.values[:110, 0])
    rows = np.arange(70, 110)
    linear = NAMES.index("linear")
    errors = np.abs(cross_validate(short, (), rows) - short.values[rows, :1]).mean(axis=0)
    true = errors_on(long, (), 110)["linear"]
    assert errors[linear] < 1.5 * true
    other = short.values[:, 0].copy()
    other[-1] += 50.0
    np.testing.assert_array_equal(cross_validate(grid_of(other), (), rows)[-1], cross_validate(short, (), rows)[-1])
