"""The sensors of the plant, and the faults that are scripted into their readings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Bools, Float

DAY = 1440  # readings, one a minute
CALM_DAYS = 1  # at the begin, without a fault
SPREADS = 6.0  # of the noise: the size of a spike, a step and a whole drift
APART = 200  # readings between two faults of a sensor, at least
FROZEN = 0.1  # of the usual deviations
BAD = -9999.0
LENGTHS = {"spike": 1, "stuck": 90, "frozen": 180, "silent": 45, "bad": 3, "drift": 700, "step": 400}  # readings

Make = Callable[[np.random.Generator, int], Float]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a sensor: its kind, its first reading and the one after its last."""

    kind: str
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor with its script.

    Attributes:
        values: `(readings,)`.
        sent: `(readings,)`, whether the reading is sent.
        faults: in the order of their times.
        longest_pause: readings without a change, at most, outside of faults.
    """

    name: str
    values: Float
    sent: Bools
    faults: tuple[Fault, ...]
    longest_pause: int


def plant(sensors: int, days: int, seed: int) -> Iterator[Sensor]:
    """Yield sensors with faults, a counter, a set point, and a sensor of each kind that freezes."""
    rng = np.random.default_rng(seed)
    kinds = list(_KINDS.items())
    for i in range(sensors - 2):
        name, make = kinds[i % len(kinds)]
        yield _with_faults(f"{name}-{i}", make(rng, DAY * days), rng)
    for name, make in _CALM.items():
        values = make(rng, DAY * days)
        yield Sensor(name, values, np.ones(len(values), np.bool_), (), _longest_pause(values))
    for name, make in kinds[: sensors - 2]:
        yield _freezing(f"freezing-{name}", make(rng, DAY * days), rng)


def _freezing(name: str, values: Float, rng: np.random.Generator) -> Sensor:
    """Return a sensor that freezes, but for a little noise, at a random time of every third day."""
    sent = np.ones(len(values), np.bool_)
    faults = []
    for day in range(CALM_DAYS + 1, len(values) // DAY, 3):
        first = DAY * day + int(rng.integers(DAY - LENGTHS["frozen"] - APART))
        fault = Fault("frozen", first, first + LENGTHS["frozen"])
        _apply(fault, values, sent, 1.0)
        faults.append(fault)
    return Sensor(name, np.round(values, 2), sent, tuple(faults), _longest_pause(values))


def _with_faults(name: str, values: Float, rng: np.random.Generator) -> Sensor:
    kinds = rng.permutation(["spike", "spike", "step", "stuck", "silent", "bad", "drift"])
    slot = (len(values) - CALM_DAYS * DAY) // len(kinds)
    pause = _longest_pause(values)
    sent = np.ones(len(values), np.bool_)
    faults = []
    for i, kind in enumerate(kinds):
        longest = max(LENGTHS.values())
        first = CALM_DAYS * DAY + slot * i + int(rng.integers(APART, max(APART + 1, slot - longest - APART)))
        fault = Fault(str(kind), first, first + max(LENGTHS[kind], 6 * pause if kind == "stuck" else 0))
        sign = 1.0 if rng.random() < 0.5 else -1.0
        if kind == "spike":  # the noise must not make it smaller
            sign = float(np.sign(values[first] - values[first - 5 : first + 6].mean()))
        _apply(fault, values, sent, sign)
        faults.append(fault)
    return Sensor(name, np.round(values, 2), sent, tuple(faults), pause)


def _apply(fault: Fault, values: Float, sent: Bools, sign: float) -> None:
    """Write a fault into the readings; the noise of every sensor has a spread of 1."""
    part = slice(fault.first, fault.stop)
    if fault.kind in ("spike", "step"):
        values[part] += sign * SPREADS
    elif fault.kind == "drift":
        values[part] += sign * SPREADS * np.linspace(0, 1, fault.stop - fault.first)
    elif fault.kind == "stuck":
        values[part] = values[fault.first - 1]
    elif fault.kind == "frozen":  # but for a little noise
        values[part] = values[fault.first] + FROZEN * (values[part] - values[fault.first])
    elif fault.kind == "bad":
        values[part] = BAD
    else:
        sent[part] = False


def _longest_pause(values: Float) -> int:
    """Return the number of readings in a row that repeat the one before, at most."""
    changes = np.flatnonzero(np.diff(np.round(values, 2)))
    return int(np.diff(changes).max()) - 1 if len(changes) > 1 else len(values)


def _day(n: int) -> Float:
    day: Float = np.sin(2 * np.pi * np.arange(n) / DAY)
    return day


def _autoregressive(rng: np.random.Generator, n: int) -> Float:
    """Return noise that remembers .8 of itself, with a spread of 1."""
    noise = rng.normal(scale=0.6, size=n)
    for i in range(1, n):
        noise[i] += 0.8 * noise[i - 1]
    return noise


_KINDS: dict[str, Make] = {
    "temperature": lambda rng, n: 60 + 8 * _day(n) + rng.normal(size=n),
    "pressure": lambda rng, n: 300 + rng.normal(size=n),
    "flow": lambda rng, n: 50 + 4 * _day(n) + _autoregressive(rng, n),
    "level": lambda rng, n: np.round(20 + 10 * _day(n) + rng.normal(size=n), 1),
    "vibration": lambda rng, n: 30 + rng.standard_t(8, n) / (8 / 6) ** 0.5,
    "power": lambda rng, n: 100 + 10 * _day(n) + 2 * _day(2 * n)[::2] + rng.normal(size=n),
}
_CALM: dict[str, Make] = {
    "counter": lambda rng, n: np.cumsum(rng.poisson(0.7, n).astype(np.float64)),
    "set-point": lambda rng, n: np.repeat(rng.integers(20, 25, -(-n // 240)), 240)[:n].astype(np.float64),
}
