"""The first state of a new model, from its errors on the tail: the records of its experts, and its interval."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import HALF_LIVES, NAIVE

MOST_MOVES = 20.0  # times the usual move: larger errors are cut, as they do not distinguish experts
HANDICAP = 1.6  # times the last value's error: an expert with this error gets e^-12 of the last value's weight


def first_errors(answers: Float, actual: Float, usual: float, *, with_care: bool = False) -> Float:
    """Return the initial error records of a model: each expert's mean absolute error on the tail, `(records, experts)`.

    Args:
        answers: `(readings, experts)`.
        actual: `(readings,)`.
        usual: the usual move.
        with_care: whether every expert begins behind the last value. This is for a first model after an unusual tail: a
            good record there may not carry over, and a record of huge errors would need hundreds of readings before
            small errors show. A model that has beaten the champion on the tail replaces one whose record is of the tail
            too, so it needs no such care.
    """
    error = np.minimum(np.abs(answers - actual[:, None]), MOST_MOVES * usual)
    known = np.isfinite(error)
    total = np.where(known, error, 0.0).sum(axis=0)
    mean = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
    if with_care:
        others = np.arange(len(mean)) != NAIVE
        mean = np.where(others, np.maximum(mean, HANDICAP * mean[NAIVE]), mean)
    return np.tile(mean, (len(HALF_LIVES), 1))


def half_width(errors: Float, level: float) -> float:
    """Return the half width that covers the next |error| with probability `level`, from errors of `(rows,)`.

    Split conformal (Vovk et al. 2005). Pass the errors of the tail, the newest part: the epoch was chosen for the
    smallest validation errors, and the errors on the training part are smaller still.
    """
    rank = int(np.ceil((len(errors) + 1) * level))
    return float(np.sort(np.abs(errors))[min(rank, len(errors)) - 1])
