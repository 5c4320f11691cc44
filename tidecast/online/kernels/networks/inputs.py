"""Prepare the inputs of networks for many series, in one compiled loop that reads the rows in place.

With NumPy a few readings take thirty times as long, nearly all of it call overhead, and a thousand readings five times
as long. The window is scaled by center and scale; with the transform `change` the target is taken relative to its last
value, and in a normalising spec it is divided by its own spread. A seasonal input is the value one season before the
reading after each step, with a flag that is 1 where such a value is held.
"""

import math

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.models.inputs import LEAST_SPREAD, Inputs
from tidecast.models.pretrained import inputs as pretrained
from tidecast.models.pretrained.shape import BEFORE, CHANNELS, SEASONS, USUAL, WINDOW
from tidecast.models.spec import Spec
from tidecast.models.time_grid import CLIP
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.rows import Rows

_TINY = float(np.finfo(np.float32).tiny)
CHANGE, LEVEL, RAW = range(3)
_TRANSFORMS = {"change": CHANGE, "level": LEVEL, "raw": RAW}
_SCALING = (pretrained.OUTLYING, pretrained.SMALLEST, pretrained.UNCHANGED, pretrained.LONGEST)
_REPEATS = pretrained.REPEATS
_BOUNDS = (CLIP, LEAST_SPREAD, _TINY)


def prepare(
    rows: Rows,
    spec: Spec,
    scaler: tuple[Float, Float],
    seasons: Int64,
    linear: Float | None = None,
    calendar: Float | None = None,
) -> Inputs:
    """Prepare the newest rows of series for a network, and return them with the unit of its answers.

    Args:
        rows: the rows of the series, at least as many as the spec needs.
        spec: the network's shape and form.
        scaler: center and scale, `(n, features)` each; with the form `change` the first scale is the change scale.
        seasons: `(n, spec.seasonal)` season lengths in rows; 0: the series has none.
        linear: `(n,)` forecasts of the linear expert, for a spec that learns its residuals.
        calendar: `(n, window, 2 * cycles)` of `calendar_inputs`; None stands for zeros.
    """
    if spec.pretrained:
        return prepare_pretrained(rows, pretrained.lags(seasons, rows.held))
    n = len(seasons)
    x = np.zeros((n, spec.window, spec.channels), np.float32)
    base = np.empty(n)
    size = np.empty(n)
    _prepare(
        rows,
        scaler,
        seasons,
        (_TRANSFORMS[spec.target_transform], spec.normalise, spec.columns),
        _BOUNDS,
        x,
        base,
        size,
    )
    if calendar is not None:
        x[:, :, spec.channels - calendar.shape[2] :] = calendar
    if spec.residual and linear is not None:
        base = np.where(np.isfinite(linear), linear, base)
    return Inputs(x, base, size)


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    at = np.full(1, 2, np.int64)
    numbers = np.zeros((1, 1))
    spec = Spec(window=2, units=1, layers=2, hidden=1)
    rows = Rows(np.ones(2), at, at, at // 2)
    prepare(rows, spec, (numbers, numbers + 1), np.zeros((1, 0), np.int64))
    prepare_pretrained(rows, np.zeros((1, SEASONS), np.int64))


@compiled_exactly
def _prepare(
    rows: tuple[Float, Int64, Int64, Int64],
    scaler: tuple[Float, Float],
    seasons: Int64,
    form: tuple[int, bool, int],
    bounds: tuple[float, float, float],
    x: Float32,
    base: Float,
    size: Float,
) -> None:
    values, ends, held, widths = rows
    center, scale = scaler
    kind, normalise, features = form
    clip, least_spread, tiny = bounds
    window = x.shape[1]
    for i in range(len(ends)):
        width = widths[i]
        first = ends[i] - window * width
        size[i] = scale[i, 0]
        if normalise:
            size[i] = max(_spread(values, first, width, window), max(least_spread * size[i], tiny))
        base[i] = values[ends[i] - width] if kind == CHANGE else center[i, 0]
        for c in range(features):
            middle, unit = (base[i], size[i]) if c == 0 else (center[i, c], scale[i, c])
            for k in range(window):
                scaled = (values[first + k * width + c] - middle) / unit
                if math.isnan(scaled):
                    scaled = 0.0
                x[i, k, c] = scaled if kind == RAW else min(max(scaled, -clip), clip)
        for season in range(seasons.shape[1]):
            lag = seasons[i, season]
            for k in range(window):
                at = first + (k + 1 - lag) * width
                if lag > 0 and at >= ends[i] - held[i] * width:
                    scaled = (values[at] - base[i]) / size[i]
                    x[i, k, features + 2 * season] = min(max(scaled, -clip), clip)
                    x[i, k, features + 2 * season + 1] = 1.0


@part_exactly
def _spread(values: Float, first: int, width: int, window: int) -> float:
    """Return the target's standard deviation over a window."""
    mean = 0.0
    for k in range(window):
        mean += values[first + k * width]
    mean /= window
    square = 0.0
    for k in range(window):
        square += (values[first + k * width] - mean) ** 2
    return math.sqrt(square / window)


def prepare_pretrained(rows: Rows, seasons: Int64) -> Inputs:
    """Prepare the newest rows of series for the pretrained network, as `models/pretrained/inputs.py` defines it.

    Args:
        rows: the rows of the series.
        seasons: `(n, 2)` season lengths in rows; 0: not known.
    """
    n = len(seasons)
    x = np.zeros((n, WINDOW, CHANNELS), np.float32)
    base = np.empty(n)
    size = np.empty(n)
    _prepare_pretrained(rows, seasons, _SCALING, pretrained.ROUNDS, x, base, size)
    return Inputs(x, base, size)


@compiled_exactly
def _prepare_pretrained(
    rows: tuple[Float, Int64, Int64, Int64],
    seasons: Int64,
    scaling: tuple[float, float, float, float],
    rounds: int,
    x: Float32,
    base: Float,
    size: Float,
) -> None:
    values, ends, held, widths = rows
    outlying, smallest, unchanged, longest = scaling
    window = x.shape[1]
    differences = np.empty((window, 5 + 2 * seasons.shape[1]))
    for i in range(len(ends)):
        target = values[ends[i] - held[i] * widths[i] : ends[i] : widths[i]]
        newest = len(target) - 1
        base[i] = target[newest]
        known = x[i]
        count = _write_differences(target, seasons[i], known, differences)
        scale = _mean_size(differences, np.inf, count)
        for _ in range(rounds):
            scale = _mean_size(differences, outlying * scale, count)
        size[i] = scale if scale > smallest * abs(base[i]) else unchanged
        season = math.log2(max(float(seasons[i, 0]), 1.0)) / longest
        for k in range(window):
            known[k, 0] = _clipped(differences[k, 0] / size[i])
            known[k, 1] = _clipped(differences[k, 1] / size[i])
            for s in range(seasons.shape[1]):
                known[k, 3 + 3 * s] = _clipped(differences[k, 2 + 2 * s] / size[i])
                known[k, 4 + 3 * s] = _clipped(differences[k, 3 + 2 * s] / size[i])
            known[k, USUAL - 1] = known[k, 2] * season
            for j in range(3):
                known[k, USUAL + j] = _clipped(differences[k, 6 + j] / size[i])


@part_exactly
def _write_differences(target: Float, seasons: Int64, known: Float32, differences: Float) -> int:
    """Write the differences that the pretrained network reads, and its flags; return how many changes are known.

    Args:
        target: `(held,)` the rows of a series.
        seasons: `(2,)` in rows; 0: not known.
        known: `(window, channels)`, whose flags are written.
        differences: `(window, 9)`: the change; the distance from the mean so far; for each season the distance from the
            value one season before the next row, and the change then; the distance from the mean so far with rows
            before the window; and the means over past first seasons of the distance and of the change.
    """
    window = len(differences)
    newest = len(target) - 1
    first = max(0, len(target) - window)
    earliest = max(0, first - BEFORE)
    before = 0.0
    for row in range(earliest, first):
        before += target[row] - target[newest]
    total = 0.0
    count = 0
    differences[:] = 0.0
    for k in range(window):
        row = newest - window + 1 + k
        if row < 0:
            continue
        relative = target[row] - target[newest]
        total += relative
        known[k, 2] = 1.0
        differences[k, 1] = relative - total / (row - first + 1)
        differences[k, 6] = relative - (before + total) / (row - earliest + 1)
        if row > first:
            differences[k, 0] = target[row] - target[row - 1]
            count += 1
        for s in range(len(seasons)):
            then = row + 1 - seasons[s]
            if seasons[s] > 0 and then >= 0:
                known[k, 5 + 3 * s] = 1.0
                differences[k, 2 + 2 * s] = target[then] - target[row]
                if then > 0:
                    differences[k, 3 + 2 * s] = target[then] - target[then - 1]
                    count += s == 0
        _write_usual(target, row, seasons[0], differences[k])
    return count


@part_exactly
def _write_usual(target: Float, row: int, season: int, differences: Float) -> None:
    """Write the means over past seasons of the distance to the value then, and of the change then."""
    value_sum = 0.0
    change_sum = 0.0
    values = 0
    changes = 0
    then = row + 1 - season
    while season > 0 and then >= 0 and values < _REPEATS:
        value_sum += target[then] - target[row]
        values += 1
        if then > 0:
            change_sum += target[then] - target[then - 1]
            changes += 1
        then -= season
    differences[7] = value_sum / max(values, 1)
    differences[8] = change_sum / max(changes, 1)


@part_exactly
def _mean_size(differences: Float, most: float, count: int) -> float:
    """Return the mean size of the changes and of those one season before; each counts as `most` at most."""
    total = 0.0
    for k in range(len(differences)):
        total += min(abs(differences[k, 0]), most) + min(abs(differences[k, 3]), most)
    return total / max(count, 1)


@part_exactly
def _clipped(scaled: float) -> float:
    return 0.0 if math.isnan(scaled) else min(max(scaled, -CLIP), CLIP)
