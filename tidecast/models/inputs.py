"""The inputs of a network, and the conversion of its answer to the series' unit.

`online/kernels/networks/inputs.py` prepares the inputs for the worker, the trainer and `explain`, so that the inputs in
service equal those in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS
from tidecast.models.pretrained import shape
from tidecast.models.spec import CYCLES, Cycle, Spec
from tidecast.models.time_grid import CLIP

LEAST_SPREAD = 0.1  # of the training part's change scale: the noise of a nearly constant window is not magnified


@dataclass(frozen=True, slots=True)
class Inputs:
    """Prepared windows; an answer of 0 stands for `base`, an answer of 1 for `base + size`."""

    x: NDArray[np.float32]  # (n, window, channels)
    base: Float  # (n,) in the series' unit
    size: Float  # (n,) in the series' unit, > 0

    def restore(self, answer: NDArray[np.floating]) -> Float:
        """Convert answers, `(n,)`, to the series' unit."""
        restored: Float = self.base + answer.astype(np.float64) * self.size
        return restored

    def targets(self, actual: Float, spec: Spec) -> NDArray[np.float32]:
        """Convert the next values, `(n,)`, to the answers that the network is trained for."""
        with np.errstate(over="ignore"):  # the size of a window that does not change is tiny; infinity is clipped
            scaled = (actual - self.base) / self.size
        return (np.clip(scaled, -CLIP, CLIP) if spec.target_transform == "change" else scaled).astype(np.float32)


def rows_read(spec: Spec, seasons: Int64) -> int:
    """Return how many rows a network reads, including its seasonal inputs, whose lengths are `(spec.seasonal,)`."""
    if spec.pretrained:
        return shape.rows_read(seasons)
    return spec.window + max(0, int(seasons.max(initial=0)) - 1)


def calendar_inputs(spec: Spec, active: Float, next_ts: Int64, step_ms: Float) -> Float:
    """Return the phase in each calendar cycle, in UTC, of the reading after each row: `(n, window, 2 * cycles)`.

    Args:
        spec: the network's spec, which names the cycles.
        active: `(n, cycles)` of `active_cycles`; 0 turns a cycle off.
        next_ts: `(n,)` epoch milliseconds of the reading after the newest row.
        step_ms: `(n,)` the grid's step.
    """
    before = np.arange(1 - spec.window, 1)
    days = (next_ts[:, None] + step_ms[:, None] * before) / DAY_MS
    angle = 2 * np.pi * days[..., None] / np.array([CYCLES[cycle] for cycle in spec.calendar])
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=-1) * active[:, None, :, None]
    return waves.reshape(*days.shape, 2 * len(spec.calendar))


def active_cycles(spec: Spec, calendar: Sequence[Cycle]) -> Float:
    """Return for each cycle of a spec 1 if the series' history is long enough for it, else 0: `(cycles,)`."""
    return np.array([float(cycle in calendar) for cycle in spec.calendar])
