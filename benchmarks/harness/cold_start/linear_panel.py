"""An online panel of simple and linear experts in NumPy: the contestant `linear_panel` of the benchmark `cold_start`.

It learns by recursive least squares with forgetting (Haykin, "Adaptive Filter Theory", 2002) on changes divided by
their usual size, and weighs its experts by their discounted errors.
"""

import numpy as np

from tidecast.arrays import Float

RECENT = 12  # changes that the linear experts read
MEMORY = 0.998  # an older reading counts that much less than the next one
BOUND = 20.0  # usual changes: a larger one is cut to this
LOOSE = 1e6  # trace of the covariance: beyond it the regression begins again
SMOOTHING = 0.5  # share of the newest reading in the smoothed level
HALF_LIVES = (100, 25)  # readings, of the errors; the worse record counts
SHARPNESS = 20.0  # of the weights in the relative errors
SMALLEST = 1e-100  # least error, so that experts without an error can be compared
FEWEST = 5  # readings before the first linear forecast


class Regression:
    """A linear regression that is updated by each pair of inputs and target.

    Args:
        width: the number of inputs.
    """

    def __init__(self, width: int) -> None:
        self._weights = np.zeros(width)
        self._covariance = np.eye(width)

    def predict(self, x: Float) -> float:
        """Return the prediction from inputs, `(width,)`."""
        return float(self._weights @ x)

    def learn(self, x: Float, y: float) -> None:
        """Update the weights by inputs, `(width,)`, and their target."""
        direction = self._covariance @ x
        gain = direction / (MEMORY + x @ direction)
        self._weights = self._weights + gain * (y - self._weights @ x)
        covariance = (self._covariance - np.outer(gain, direction)) / MEMORY
        self._covariance = (covariance + covariance.T) / 2 if np.trace(covariance) < LOOSE else np.eye(len(x))


def panel_forecasts(y: Float, seasons: tuple[int, ...]) -> Float:
    """Forecast each reading from those before it, `(readings,)`; NaN for the first.

    Args:
        y: `(readings,)`.
        seasons: the lengths in rows, the shortest first.
    """
    experts = [_shifted(y, 1), _smoothed(y), _regressed(y, ())]
    if seasons:
        season = seasons[0]
        experts += [_shifted(y, season), _shifted(y, 1) + _shifted(y, season) - _shifted(y, season + 1)]
        experts.append(_regressed(y, seasons))
    return _blended(np.stack(experts, axis=1), y)


def _shifted(y: Float, rows: int) -> Float:
    return np.concatenate([np.full(min(rows, len(y)), np.nan), y[: max(0, len(y) - rows)]])


def _smoothed(y: Float) -> Float:
    forecasts = _shifted(y, 1)
    for t in range(2, len(y)):
        forecasts[t] = forecasts[t - 1] + SMOOTHING * (y[t - 1] - forecasts[t - 1])
    return forecasts


def _regressed(y: Float, seasons: tuple[int, ...]) -> Float:
    """Forecast the change from recent changes, and from those at the same place of former seasons."""
    inputs = _inputs(y, seasons)
    changes = np.diff(y, prepend=y[:1])
    regression = Regression(inputs.shape[1])
    forecasts = np.full(len(y), np.nan)
    usual = 0.0
    x = np.zeros(inputs.shape[1])
    for t in range(1, len(y)):
        if usual > 0:
            x = np.clip(inputs[t] / usual, -BOUND, BOUND)
            if t >= FEWEST:
                forecasts[t] = y[t - 1] + usual * np.clip(regression.predict(x), -BOUND, BOUND)
            regression.learn(x, float(np.clip(changes[t] / usual, -BOUND, BOUND)))
        usual += (abs(changes[t]) - usual) * max(0.02, 1 / t)
    return forecasts


def _inputs(y: Float, seasons: tuple[int, ...]) -> Float:
    """Return the inputs that are known before each reading, `(readings, inputs)`; 0 where an input is not known."""
    changes = np.diff(y, prepend=y[:1])
    columns = [_shifted(changes, lag) for lag in range(1, RECENT + 1)]
    for season in seasons:
        columns += [_shifted(changes, season), _shifted(y, season) - _shifted(y, 1)]
    return np.nan_to_num(np.stack(columns, axis=1))


def _blended(forecasts: Float, y: Float) -> Float:
    """Return the weighted means of the experts' forecasts, `(readings, experts)`."""
    records = np.full((len(HALF_LIVES), forecasts.shape[1]), np.nan)
    rates = 1 - 0.5 ** (1 / np.array(HALF_LIVES))
    blend = np.full(len(y), np.nan)
    for t in range(1, len(y)):
        known = np.isfinite(forecasts[t])
        recorded = known & np.isfinite(records[0])
        blend[t] = forecasts[t, recorded] @ _weights(records[:, recorded]) if recorded.any() else y[t - 1]
        errors = np.abs(forecasts[t] - y[t])
        rate = np.maximum(rates, 1 / t)[:, None]
        learned = np.where(np.isnan(records), errors, records + rate * (errors - records))
        records = np.where(known, learned, records)
    return blend


def _weights(records: Float) -> Float:
    least = np.maximum(records.min(axis=1, keepdims=True), SMALLEST)
    excess = (records / least).max(axis=0)
    weights: Float = np.exp(-SHARPNESS * (excess - excess.min()))
    weights /= weights.sum()
    return weights
