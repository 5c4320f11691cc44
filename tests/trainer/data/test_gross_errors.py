"""Histories without gross errors: which readings are left out, and which are a part of the series."""

import numpy as np
import pytest

from tidecast.arrays import Float
from tidecast.files.history import History
from trainer.data.gross_errors import gross_errors, without_gross_errors

HOUR = 3_600_000
HOURS = np.arange(1200)
NOISE = np.random.default_rng(0).normal(size=1200)
WAVE = 50 + 10 * np.sin(2 * np.pi * HOURS / 24) + NOISE
CODES = [-9999.0, 9999.0, 0.0, -1.0, 65535.0, 1e6, 32767.0, -273.15, 99.99, -3.4e38]
TWENTY = np.sort(np.random.default_rng(1).choice(1200, 20, replace=False))
PLACES = {
    "one": [700],
    "the first": [0],
    "the first three": [0, 1, 2],
    "the last": [1199],
    "at the cut": [1018, 1019, 1020, 1021],
    "four": [30, 400, 401, 1100],
    "twenty": TWENTY.tolist(),
    "twenty in a row": [*range(600, 620)],
    "every day at the same hour": [*range(315, 315 + 20 * 24, 24)],
    "every sixty hours": [*range(30, 1200, 60)],
}


def with_code(code: float, spots: list[int], values: Float = WAVE) -> Float:
    """Return the values with a code in some places."""
    spoiled = values.copy()
    spoiled[spots] = code
    return spoiled


@pytest.mark.parametrize("spots", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("code", CODES)
def test_every_gross_error_is_found_and_nothing_else(code: float, spots: list[int]) -> None:
    """Whatever the code, wherever it stands, however often it comes."""
    assert spots == np.flatnonzero(gross_errors(with_code(code, spots), HOUR)).tolist()


@pytest.mark.parametrize("code", [-9999.0, 65535.0, 1e6])
def test_a_code_that_comes_every_day_is_an_error_where_it_is_far_enough(code: float) -> None:
    """A hundred times as far outside all other values as these are apart."""
    spots = [*range(3, 1200, 24)]
    assert spots == np.flatnonzero(gross_errors(with_code(code, spots), HOUR)).tolist()


ON = np.random.default_rng(2).random(1200) < 0.1
NORMAL = {
    "a wave": WAVE,
    "intermittent demand": np.where(ON, np.random.default_rng(3).poisson(8, 1200), 0.0),
    "a spike every day": 10 + NOISE + 60 * (HOURS % 24 == 3),
    "a spike every day, never the same": 10
    + NOISE
    + (HOURS % 24 == 3) * np.random.default_rng(4).uniform(30, 90, 1200),
    "a spike every week": 10 + NOISE + 60 * (HOURS % 168 == 30),
    "a pump without noise": np.where(HOURS // 11 % 5 == 0, 100.0, 0.0),
    "a pump with noise": np.where(HOURS // 11 % 5 == 0, 100.0, 0.0) + 0.5 * NOISE,
    "a machine that is seldom off": np.where(HOURS % 300 > 288, 0.0, 100 + 2 * NOISE),
    "a rare regime": np.where(HOURS // 100 % 7 == 5, 80.0, 20.0) + NOISE,
    "a new level": WAVE + 500 * (HOURS > 600),
    "a new level at the end": WAVE + 500 * (HOURS > 1196),
    "another unit": WAVE * np.where(HOURS > 900, 1000, 1),
    "a walk": NOISE.cumsum(),
    "growth": np.exp(HOURS / 100),
    "a constant": np.full(1200, 5.0),
}


@pytest.mark.parametrize("values", NORMAL.values(), ids=NORMAL)
def test_what_recurs_in_a_series_is_a_part_of_it(values: Float) -> None:
    """Sparse, large or sudden values must not be left out."""
    assert [] == np.flatnonzero(gross_errors(values, HOUR)).tolist()


def test_a_sound_history_has_other_values_in_the_place_of_errors() -> None:
    """Between their neighbours; the readings that are left out are named, and each column is looked at by itself."""
    values = np.column_stack([WAVE, 3 * WAVE])
    values[[5, 6], 0] = -9999
    values[9, 1] = -9999
    given = History("s", ("value", "wind"), HOURS * HOUR, values)
    made = without_gross_errors(given)
    assert [5 * HOUR, 6 * HOUR] == made.left_out.tolist()
    assert [5, 6, 7] == np.flatnonzero(~made.judging).tolist()
    np.testing.assert_allclose(np.interp([5, 6], [4, 7], WAVE[[4, 7]]), made.values[[5, 6], 0])
    assert made.values[9, 1] == pytest.approx(values[[8, 10], 1].mean())
    assert 1200 == len(made)
    again = without_gross_errors(made)
    assert again is made


@pytest.mark.parametrize(("step_ms", "period", "recurs"), [(1000, 40, True), (1000, 60, False), (HOUR, 24, True)])
def test_a_spike_of_every_season_is_a_part_of_the_series(step_ms: int, period: int, *, recurs: bool) -> None:
    """The season is one of the calendar, or one that the series itself shows."""
    wave = 50 + 10 * np.sin(2 * np.pi * HOURS / 40) + NOISE
    spoiled = with_code(150.0, [*range(9, 1200, period)], wave)
    assert recurs == (not gross_errors(spoiled, step_ms).any())


def test_a_history_without_errors_is_left_alone() -> None:
    """No value is copied and no error is reported; the same holds for a history of a single reading."""
    for readings in (1, 2, 1200):
        given = History("s", ("value",), HOURS[:readings] * HOUR, WAVE[:readings, None])
        assert without_gross_errors(given) is given
