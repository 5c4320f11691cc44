"""Changes of a series, detected from its errors: the time, the kind, and each only once."""

from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numba import njit

from tests.tidecast.online.harness import noise
from tidecast.arrays import Float
from tidecast.online.drift import KINDS
from tidecast.online.kernels.detection import drift_sums
from tidecast.online.kernels.detection.drift_sums import (
    CUT,
    ERRORS_ALLOWED,
    ERRORS_MOST,
    JUMP_RETURNS,
    JUMP_STAYS,
    MOST_SILENCE,
    NOTHING,
    OFTEN,
    SILENCE,
    USUAL,
    WARM_UP,
)
from tidecast.online.kernels.pointers import address_of
from tidecast.wire.state_format import DRIFT

NOW_MS = 1_700_000_000_000
numbers = st.floats(allow_nan=False, allow_infinity=False)
unhurried = hypothesis.settings(deadline=None, max_examples=60)


@njit(error_model="numpy")
def detect_drift(
    address: int, y: float, error: float, seasonal: tuple[float, float], weight: float, wanders: bool
) -> int:
    """Run `drift_sums.detect_drift` as it is compiled into the worker's code."""
    return drift_sums.detect_drift(address, y, error, seasonal, weight, wanders)


class Detector:
    """The drift numbers of one series, `record`."""

    def __init__(self) -> None:
        self._numbers = np.zeros(1, DRIFT)
        self._address = address_of(self._numbers)
        self.record: Any = self._numbers[0]

    def add(
        self,
        y: float,
        error: float,
        seasonal: float = np.nan,
        weight: float = 0.0,
        *,
        long: float = np.nan,
        wanders: bool = False,
    ) -> int:
        """Add a reading; return the kind of drift that it reveals."""
        seasons = float(seasonal), float(long)
        return detect_drift(self._address, float(y), float(error), seasons, float(weight), wanders)


def detected(
    y: Sequence[float] | Float,
    errors: Sequence[float] | Float,
    season: int | None = None,
    weights: Sequence[float] | None = None,
) -> list[tuple[int, str]]:
    """Return the readings at which a change was detected, and its kind."""
    detector = Detector()
    changes = []
    for i, (reading, error) in enumerate(zip(y, errors, strict=True)):
        before = y[i - season] if season and i >= season else np.nan
        kind = detector.add(reading, error, before, weights[i] if weights is not None else 0.0)
        changes += [] if kind == NOTHING else [(i, KINDS[kind])]
    return changes


def seasonal(count: int, seed: int = 0, shift: Callable[[int], int] = lambda _: 0) -> Float:
    """Return a season of 24 with noise of a tenth of it; `shift` moves a reading within the season."""
    at = np.array([i + shift(i) for i in range(count)])
    return 10 * np.sin(2 * np.pi * at / 24) + noise(count, seed)


def page_hinkley(x: Sequence[float] | Float, allowed: float) -> list[float]:
    """Compute the test as textbooks and `river` write it: the sum of the excesses over the running mean, less its
    least.
    """
    sums = [0.0]
    excesses = []
    mean = 0.0
    for n, value in enumerate(x, 1):
        mean += (value - mean) / n
        sums.append(sums[-1] + value / mean - 1 - allowed)
        excesses.append(sums[-1] - min(sums))
    return excesses


@unhurried
@hypothesis.given(st.lists(st.floats(0.5, 1.5), min_size=WARM_UP + 1, max_size=300), st.floats(0.6, 4.0))
def test_the_sum_of_the_errors_is_that_of_the_textbook(sizes: list[float], growth: float) -> None:
    """With sizes that are not cut, reading for reading, from the end of the warm-up on."""
    x = np.array([*sizes, *(growth * size for size in sizes)][: int(USUAL)])
    mean_before = np.cumsum(x) / np.arange(1, len(x) + 1)
    hypothesis.assume((x[1:] < CUT * mean_before[:-1]).all())
    detector = Detector()
    sums = []
    for i, size in enumerate(x):
        detector.add(0.0, size * (-1) ** i)
        sums.append(detector.record.error_sum)
    expected = 0.0
    values = []
    for i in range(len(x)):
        expected = 0.0 if i < WARM_UP else max(0.0, expected + x[i] / mean_before[i] - 1 - ERRORS_ALLOWED)
        if expected >= ERRORS_MOST:
            break  # an alarm, after which the record starts again
        values.append(expected)
    np.testing.assert_allclose(sums[: len(values)], values, atol=1e-9)


def test_the_reflected_sum_is_the_sum_less_its_least() -> None:
    """Page's form, which needs one number, and Hinkley's, which needs two, are one test."""
    x = np.abs(noise(400)) * np.where(np.arange(400) < 200, 1, 4)
    reflected = []
    kept = 0.0
    mean = 0.0
    for n, value in enumerate(x, 1):
        mean += (value - mean) / n
        kept = max(0.0, kept + value / mean - 1 - 0.5)
        reflected.append(kept)
    np.testing.assert_allclose(page_hinkley(x, 0.5), reflected, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_errors_that_grow_are_detected(seed: int) -> None:
    """They grow to five times the size: the alarm comes within a hundred readings, as errors and no other kind."""
    sizes = noise(1000, seed) * np.where(np.arange(1000) < 800, 1, 8)
    ((at, kind), *_) = detected(np.zeros(1000), sizes)
    assert (True, "errors") == (800 <= at < 900, kind)


@pytest.mark.parametrize("season", [24, None])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_that_moves_is_detected(season: int | None, sign: int) -> None:
    """Up or down, though the experts follow it with the next reading: by its season, or by the jump where it stayed."""
    y = seasonal(700) if season else noise(700)
    y[500:] += sign * 30
    errors = noise(700, 1)
    errors[500] += sign * 30
    ((at, kind), *_) = detected(y, errors, season)
    assert (True, "level") == (500 <= at < 600, kind)


@pytest.mark.parametrize("lasts", [24, 1000])
def test_a_holiday_is_not_a_change_of_the_season(lasts: int) -> None:
    """A day like no other, after which the week goes on as before, raises no alarm; a season that stays moved does."""
    day = lasts + 504
    y = seasonal(800, shift=lambda i: 12 * (504 <= i < day)) + 3 * (np.arange(800) // 24 % 7 > 4)
    detector = Detector()
    alarms = [i for i in range(168, 800) if detector.add(y[i], noise(800, 1)[i], y[i - 24], long=y[i - 168]) != NOTHING]
    assert [504 < at < 560 for at in alarms[:1]] == ([True] if lasts > 24 else [])


def test_a_season_that_moves_is_detected() -> None:
    """By half its length, though the errors be those of before."""
    y = seasonal(700, shift=lambda i: 12 * (i >= 500))
    ((at, kind), *_) = detected(y, noise(700, 1), 24)
    assert (True, "season") == (500 <= at < 600, kind)


def test_a_network_that_loses_its_say_is_detected() -> None:
    """It had most of the blend and has nearly none; one that never had any cannot lose it."""
    weights = np.where(np.arange(700) < 500, 0.9, 0.02)
    ((at, kind), *_) = detected(np.zeros(700), noise(700), weights=weights.tolist())
    assert (True, "model_degraded") == (500 <= at < 600, kind)
    assert [] == detected(np.zeros(700), noise(700), weights=[0.02] * 700)


def test_outliers_are_no_drift() -> None:
    """A reading that is far away once in a while and comes back."""
    y = seasonal(5000)
    errors = noise(5000, 1)
    for at in range(200, 5000, 400):
        y[at] += 500
        errors[at] += 500
        errors[at + 1] -= 500
    assert [] == detected(y, errors, 24)
    assert [] == detected(noise(5000) + (y - seasonal(5000)), errors)


@pytest.mark.parametrize("season", [24, None])
def test_unchanged_series_raise_fewer_alarms_than_one_in_5000_readings(season: int | None) -> None:
    """Twenty made-up series of 5,000 readings each."""
    made = [seasonal(5000, seed) if season else noise(5000, seed) for seed in range(20)]
    assert len([alarm for seed, y in enumerate(made) for alarm in detected(y, noise(5000, 100 + seed), season)]) < 20


def test_a_series_that_often_changes_is_reported_more_and_more_rarely() -> None:
    """A tank that is filled at odd hours raised an alarm every 200 readings; each one doubles the silence after it."""
    often = np.tile([1.0] * 400 + [30.0] * 100, 40)
    alarms = places(often)
    assert len(alarms) < len(often) / 1500
    assert (np.diff(alarms) > np.minimum(SILENCE * 2.0 ** np.arange(len(alarms) - 1), MOST_SILENCE)).all()
    calm = np.ones(OFTEN + MOST_SILENCE)
    again = places(np.r_[often, calm, often[:1500]])[len(alarms) :]
    assert [440, 941, 1440] == [at - len(often) - len(calm) for at in again]


def places(errors: Float) -> list[int]:
    """Return the readings at which a change was detected on a series with such errors."""
    return [at for at, _ in detected(np.zeros(len(errors)), errors)]


@unhurried
@hypothesis.given(
    st.lists(st.tuples(numbers, numbers, st.none() | numbers, st.floats(0, 1)), max_size=300), st.integers(0, 5)
)
def test_whatever_comes_the_record_stays_finite_and_alarms_stay_apart(
    readings: list[tuple[float, float, float | None, float]], seed: int
) -> None:
    """No number turns into NaN, which would silence a series for ever, and two alarms are at least a hundred apart."""
    detector = Detector()
    order = np.random.default_rng(seed).permutation(np.arange(5 * len(readings)) % max(1, len(readings)))
    alarms = [-SILENCE]
    for i, at in enumerate(order):
        y, error, answer, weight = readings[at]
        if detector.add(y, error, np.nan if answer is None else answer, weight) != NOTHING:
            assert detector.record.statistic > 1
            assert i - alarms[-1] > SILENCE or alarms == [-SILENCE]
            alarms.append(i)
    assert np.isfinite(detector.record.item()).all()


@pytest.mark.parametrize(("small", "large"), [(1e-200, 1e140), (1e-140, 1e149), (0.0, 1e149)])
def test_a_jump_from_next_to_nothing_keeps_the_record_finite(small: float, large: float) -> None:
    """Errors that are more means than a number can hold."""
    detector = Detector()
    for size in [small] * 60 + [large] * 5 + [-large] * 5 + [small] * 50:
        detector.add(size, size)
        assert np.isfinite(detector.record.item()).all()


@pytest.mark.parametrize("stay", [JUMP_STAYS, JUMP_STAYS + 1])
def test_a_level_is_told_once_the_series_has_stayed_there(stay: int) -> None:
    """An episode that ends earlier is not a new level, and the usual level before it stays."""
    y = noise(1000)
    errors = noise(1000, 1)
    y[500 : 500 + stay] += 30
    y[500 + stay] = 0
    errors[500] += 30
    errors[500 + stay] -= 30
    assert ([(500 + JUMP_STAYS, "level")] if stay > JUMP_STAYS else []) == detected(y, errors)


def test_a_reading_that_came_back_is_made_up_for_by_twelve_that_stayed() -> None:
    """A moved level is detected although an outlier lies at the old level, later by as many readings."""
    y = noise(1000)
    errors = noise(1000, 1)
    y[500:] += 30
    errors[500] += 30
    y[540] = 0
    assert [(500 + JUMP_STAYS + JUMP_RETURNS + 1, "level")] == detected(y, errors)[:1]


@pytest.mark.parametrize("steps", [1, 8])
def test_a_walk_has_another_level_only_after_one_large_step(steps: int) -> None:
    """A few small ones lead as far on any random walk."""
    moves = noise(1000, 3)
    moves[700 : 700 + steps] += 48 / steps
    y = np.cumsum(moves)
    detector = Detector()
    alarms = [i for i in range(1, 1000) if detector.add(y[i], moves[i], wanders=True) != NOTHING]
    assert alarms[:1] == ([700 + JUMP_STAYS] if steps == 1 else [])


@pytest.mark.parametrize("side", [1, -1])
def test_a_jump_back_to_the_usual_level_is_a_change(side: int) -> None:
    """The level before it was reached slowly, and is as far away."""
    y = noise(1000) + side * np.interp(np.arange(1000), [0, 200, 700], [30, 30, -30])
    y[800:] += side * 37
    assert [(800 + JUMP_STAYS, "level")] == detected(y, np.diff(y, prepend=y[0]))


@pytest.mark.parametrize("side", [1, -1])
def test_an_outlier_moves_no_level_that_stood_elsewhere_before(side: int) -> None:
    """A walk has led away from the usual level; a spike towards the other side, and the walk stands where it stood."""
    y = noise(1000)
    errors = 0.1 * noise(1000, 1)
    y[450:] += side * np.minimum(3.0, 0.03 * np.arange(550))
    y[600] -= side * 30
    errors[600] -= side * 30
    errors[601] += side * 30
    assert [] == detected(y, errors)


def test_a_jump_far_beyond_the_spread_need_not_be_many_errors() -> None:
    """The errors are nearly as large as the spread: of seven of them few jumps would consist."""
    y = noise(1000)
    errors = noise(1000, 1)
    y[500:] += 6
    errors[500] = 6
    assert [(500 + JUMP_STAYS, "level")] == detected(y, errors)[:1]
    y[500:] -= 4
    errors[500] = 2
    assert [] == detected(y, errors)


@unhurried
@hypothesis.given(st.integers(0, 100), st.integers(-60, 60))
def test_the_unit_does_not_matter(seed: int, power: int) -> None:
    """A series in thousandths has the same alarms at the same time; by powers of two to the last bit."""
    y = seasonal(400, seed, lambda i: 12 * (i >= 250))
    errors = noise(400, seed + 1)
    assert detected(y, errors, 24) == detected(y * 2.0**power, errors * 2.0**power, 24)
