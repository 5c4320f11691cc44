"""When strong noise ends, and what the records of the experts count for then."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tidecast.online.harness import answers_to, noise
from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, PROVEN
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.detection.noise import APART, noise_ends
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.scoring import score_batch
from tidecast.online.kernels.series_record import named, new_record
from tidecast.online.kernels.series_rows import series_rows
from tidecast.settings import SeriesSettings
from tidecast.wire.state_format import NOISE

RATE = 1 - 0.5 ** (1 / 25)  # of the fast record


def ends(moves: Float) -> list[int]:
    """Return the readings with which an end of noise counts, for a last value that errs by these moves."""
    state: Any = SimpleNamespace(**dict.fromkeys(NOISE.names or (), 0))
    mean = float(moves[0])
    places = []
    for i, move in enumerate(np.abs(moves).tolist()):
        if noise_ends(state, move, mean):
            places.append(i)
        mean += RATE * (move - mean)
    return places


def stretches(*lengths_and_sizes: tuple[int, float], seed: int = 0) -> Float:
    """Return normal moves, in stretches of these lengths and sizes."""
    sizes = np.concatenate([np.full(length, size) for length, size in lengths_and_sizes])
    moves: Float = noise(len(sizes), seed) * sizes
    return moves


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("calm", [0.0, 0.05])
def test_the_end_of_noise_counts_within_a_dozen_readings(seed: int, calm: float) -> None:
    """Also if the series stands still then, and after noise of forty readings."""
    moves = stretches((300, calm), (40, 1.0), (200, calm), seed=seed)
    (place,) = [at for at in ends(moves) if at >= 300]
    assert 340 < place < 352


@pytest.mark.parametrize("seed", range(5))
def test_noise_that_goes_on_does_not_end(seed: int) -> None:
    """The records of a series that is always noisy are worth keeping."""
    assert [] == ends(stretches((3000, 1.0), seed=seed))


def test_a_series_that_is_calm_again_and_again_remembers_both_parts() -> None:
    """Only the first end counts, as each end follows within so many readings of another."""
    moves = stretches(*[(60, 1.0), (60, 0.01)] * 20)
    assert 120 < APART
    assert 1 == len(ends(moves))
    assert 2 == len(ends(np.concatenate([moves, stretches((APART, 0.01), (60, 1.0), (60, 0.01))])))


def test_an_unknown_move_changes_nothing() -> None:
    """Before the first forecast, or after a gap."""
    state: Any = SimpleNamespace(large=16, full=1, waiting=3)
    assert not noise_ends(state, np.nan, 1.0)
    assert not noise_ends(state, 1.0, np.nan)
    assert vars(state) == {"large": 16, "full": 1, "waiting": 3}


def test_records_start_again_with_the_reading_that_shows_the_end() -> None:
    """Then no expert has an advantage, not even one that joins a few readings later."""
    record = new_record(1)
    named(record).errors[:] = 5.0
    named(record).evidence[:] = PROVEN
    named(record).answers[:] = 1.0
    named(record).noise.large = 1
    named(record).noise.full = 1
    nothing = np.zeros(1, np.int64)
    reading = Readings.of(nothing, nothing, nothing)._replace(y=np.array([2.0]))
    series = series_rows(1, record=address_of(record))
    score_batch(series, reading, np.ones((1, len(EXPERTS))), np.array([0.9]), (-9.0, 9.0))
    assert (named(record).errors == 1.0).all()
    assert (named(record).evidence == 1).all()


def test_forecasts_follow_a_series_soon_after_noise() -> None:
    """The experts that were the best ones in the noise would lag behind a random walk for some sixty readings."""
    ratios = []
    for seed in range(6):
        y = np.cumsum(0.3 * noise(600, seed))
        y[200:300] = y[:200].mean() + 3 * noise(100, 100 + seed)
        yhat = np.array([forecast.yhat for forecast in answers_to(Forecaster(SeriesSettings()), y.tolist())])
        after = slice(310, 360)
        ratios.append(np.abs(yhat[309:359] - y[after]).mean() / np.abs(np.diff(y))[309:359].mean())
    assert np.mean(ratios) < 1.08
