"""Calm series of many kinds, faults spliced into them, and usual detectors that are compared on both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Bools, Float, Int64
from tidecast.files.history import History

READINGS = 8000
STEP_MS = 600_000
DAY = 144  # readings
BEGIN_MS = 1_704_067_200_000  # 2024-01-01
SPREADS = 6.0  # of the noise: the size of a fault
SPIKES = (3000, 4500, 6000, 7500)  # readings
STEPS = (3000, 5000, 7000)  # the second one goes back to the first level
WITHIN = 15  # readings after a fault in which it must be found
AFTER = 500  # readings in which no detector's alarm is counted as false
WINDOW = 100  # readings of the usual detectors
SILENCE = 100  # readings without another alarm after an alarm, for all detectors
SIGMAS = 3.0
SMOOTHING, LIMIT = 0.2, 2.9  # of the control chart: weight of the newest reading; limit in standard deviations

Alarms = Mapping[str, Bools]  # by series


def _normal(rng: np.random.Generator) -> Float:
    return rng.normal(size=READINGS)


def _autoregressive(rng: np.random.Generator, share: float) -> Float:
    y = _normal(rng)
    for i in range(1, READINGS):
        y[i] += share * y[i - 1]
    return y


def _season() -> Float:
    season: Float = np.sin(2 * np.pi * np.arange(READINGS) / DAY)
    return season


# Each returns `(readings,)`, and its noise has a spread of about 1.
CALM: dict[str, Callable[[np.random.Generator], Float]] = {
    "normal": _normal,
    "laplace": lambda rng: rng.laplace(scale=0.5**0.5, size=READINGS),
    "student t3": lambda rng: rng.standard_t(3, READINGS) / 3**0.5,
    "lognormal": lambda rng: rng.lognormal(size=READINGS) / 2.16,
    "daily season": lambda rng: 5 * _season() + _normal(rng),
    "counts": lambda rng: rng.poisson(1.0, READINGS).astype(np.float64),
    "seasonal counts": lambda rng: rng.poisson(np.exp(2 + _season())) / 3.0,
    "autoregressive .9": lambda rng: _autoregressive(rng, 0.9),
    "random walk": lambda rng: np.cumsum(_normal(rng)),
    "rounded": lambda rng: np.round(2 * _season() + _normal(rng), 0),
}
HEAVY = ("laplace", "student t3", "lognormal")  # some calm readings are as far away as a fault, so they have none


@dataclass(frozen=True, slots=True)
class Trial:
    """A series, its faults, and the name of its kind.

    Attributes:
        history: the series.
        kind: of the calm series.
        faults: `(faults,)` their readings; empty for a calm series.
    """

    history: History
    kind: str
    faults: Int64


def trials(seed: int) -> dict[str, list[Trial]]:
    """Return a calm series of each kind, and one with spikes and one with steps if its tails are light."""
    rng = np.random.default_rng(seed)
    lifted = np.zeros(READINGS)
    for sign, at in zip((1, -1, 1), STEPS, strict=True):
        lifted[at:] += sign * SPREADS
    spikes = np.zeros(READINGS)
    spikes[list(SPIKES)] = SPREADS
    added: dict[str, tuple[Float, tuple[int, ...]]] = {
        "calm": (np.zeros(READINGS), ()),
        "spikes": (spikes, SPIKES),
        "steps": (lifted, STEPS),
    }
    return {
        name: [
            _trial(f"{kind}|{name}", kind, make(rng) + change, places)
            for kind, make in CALM.items()
            if not places or kind not in HEAVY
        ]
        for name, (change, places) in added.items()
    }


def _trial(name: str, kind: str, y: Float, faults: tuple[int, ...]) -> Trial:
    ts = BEGIN_MS + STEP_MS * np.arange(READINGS)
    return Trial(History(name, ("value",), ts, y[:, None]), kind, np.array(faults, np.int64))


def found_share(of: list[Trial], alarms: Alarms) -> float:
    """Return the share of the faults with an alarm soon after."""
    return float(np.mean([delay < WITHIN for trial in of for delay in delays(trial, alarms)]))


def delays(trial: Trial, alarms: Alarms) -> list[float]:
    """Return the readings from each fault to the next alarm; infinity without one."""
    at = np.flatnonzero(alarms[trial.history.series])
    return [float(min(at[at >= fault] - fault, default=np.inf)) for fault in trial.faults.tolist()]


def false_per_5000(of: list[Trial], alarms: Alarms) -> float:
    """Return the alarms in 5,000 readings of calm series, without their first readings."""
    counted = np.concatenate([alarms[trial.history.series][AFTER:] for trial in of])
    return float(5000 * counted.mean())


def once(unusual: Bools) -> Bools:
    """Return the first of the unusual readings, and each after it that follows an alarm by more than `SILENCE`."""
    alarms = np.zeros_like(unusual)
    last = -SILENCE - 1
    for i in np.flatnonzero(unusual).tolist():
        if i - last > SILENCE:
            alarms[i] = True
            last = i
    return alarms


def three_sigma(y: Float) -> Bools:
    """Return the readings over three standard deviations from the mean of the readings before them."""
    mean, spread = _past(y)
    return once(np.abs(y - mean) > SIGMAS * spread)


def control_chart(y: Float) -> Bools:
    """Return the alarms of an EWMA chart (Roberts 1959), whose center and spread are those of `three_sigma`."""
    mean, spread = _past(y)
    smoothed = np.full(len(y), y[:WINDOW].mean())
    for i in range(WINDOW, len(y)):
        smoothed[i] = smoothed[i - 1] + SMOOTHING * (y[i] - smoothed[i - 1])
    return once(np.abs(smoothed - mean) > LIMIT * (SMOOTHING / (2 - SMOOTHING)) ** 0.5 * spread)


def _past(y: Float) -> tuple[Float, Float]:
    """Return the mean and the standard deviation of the readings before each one; infinity as that of the first."""
    sums = np.cumsum(np.stack([np.insert(y, 0, 0), np.insert(y**2, 0, 0)]), axis=1)
    before = (sums[:, WINDOW:-1] - sums[:, : -WINDOW - 1]) / WINDOW
    moments = np.concatenate([np.zeros((2, WINDOW)), before], axis=1)
    spread = np.sqrt(np.maximum(moments[1] - moments[0] ** 2, 0))
    spread[:WINDOW] = np.inf
    return moments[0], spread
