"""Score a network on synthetic series that it was not trained on, each from its first row, as a worker meets it."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.pretrained.network import Pretrained, forecast
from trainer.pretrain import synthetic
from trainer.pretrain.families import FAMILIES, Synthetic

SERIES = 60  # of each family
ROWS = 300
EVERY = 3  # every third reading is scored
PERIODS = ((10, 30), (30, 100), (100, 300))  # readings since the first


def scores(network: Pretrained, seed: int, series: int = SERIES) -> dict[str, float]:
    """Return the median skill over the last value in three periods, and each family's in the second one.

    Args:
        network: the weights to score.
        seed: the seed of the training; the series are drawn from another stream of it.
        series: how many to draw of each family.
    """
    rng = np.random.default_rng((seed, 2**32))
    made = synthetic.draw(rng, series, ROWS)
    result = {f"skill_{low}_{high}": _rounded(skills(network, made, low, high)) for low, high in PERIODS}
    low, high = PERIODS[1]
    for family in FAMILIES:
        alone = family(rng, series, ROWS)
        alone = alone._replace(seasons=synthetic.with_second(alone.seasons))
        result[f"{family.__name__}_{low}_{high}"] = _rounded(skills(network, alone, low, high))
    return result


def skills(network: Pretrained, made: Synthetic, low: int, high: int) -> Float:
    """Return each series' skill over the last value on the readings from `low` to `high`, `(series,)`."""
    series, rows = made.values.shape
    held = np.tile(np.arange(low, high, EVERY), series)
    owner = np.repeat(np.arange(series), len(held) // series)
    ends = owner * rows + held
    flat = made.values.ravel()
    answer = forecast(network, flat, ends, held, made.seasons[owner])
    error = np.abs(answer - flat[ends]).reshape(series, -1).mean(axis=1)
    naive = np.abs(flat[ends - 1] - flat[ends]).reshape(series, -1).mean(axis=1)
    skill: Float = 1 - error[naive > 0] / naive[naive > 0]
    return skill


def _rounded(each: Float) -> float:
    return round(float(np.median(each)), 3)
