"""Prepare a network's inputs from a series' rows, and convert its answer back to the series' unit.

The trainer, the worker and `explain` all prepare rows here, so that the inputs in service equal those in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Int64
from tidecast.durations import DAY_MS
from tidecast.models.spec import CYCLES, Cycle, Spec
from tidecast.models.time_grid import CLIP, scale_windows

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
        scaled = (actual - self.base) / self.size
        return (np.clip(scaled, -CLIP, CLIP) if spec.target_transform == "change" else scaled).astype(np.float32)


def network_inputs(
    rows: Float,
    held: Int64,
    spec: Spec,
    seasons: Int64,
    center: Float,
    scale: Float,
    linear: Float | None = None,
    calendar: Float | None = None,
) -> Inputs:
    """Prepare rows for a network.

    Args:
        rows: `(n, rows, features)`, newest last; at least the window, and the seasons before it for a seasonal spec.
        held: `(n,)` how many of the rows are real; the values before them are ignored.
        spec: the network's shape and form.
        seasons: `(n, >= spec.seasonal)` season lengths in rows; 0: the series has none.
        center: `(n, features)` of the scaler.
        scale: `(n, features)` of the scaler; with the form `change` the first is the change scale.
        linear: `(n,)` forecasts of the linear expert, for a spec that learns its residuals.
        calendar: `(n, window, 2 * cycles)` of `calendar_inputs`; None: the times are not known, the inputs are 0.
    """
    window = rows[:, -spec.window :]
    last = window[:, -1, 0]
    size = scale[:, 0].copy()
    if spec.normalise:
        scale = scale.copy()
        spread = np.ascontiguousarray(window[..., 0]).std(axis=1)
        size = np.maximum(spread, np.maximum(LEAST_SPREAD * size, np.finfo(np.float32).tiny))
        scale[:, 0] = size
    channels = [scale_windows(window, center, scale, spec.target_transform)]
    base = last if spec.target_transform == "change" else center[:, 0]
    channels += [_seasonal(rows, held, spec.window, seasons[:, i], base, size) for i in range(spec.seasonal)]
    if spec.calendar:
        unknown = np.zeros((len(rows), spec.window, 2 * len(spec.calendar)))
        channels.append(unknown if calendar is None else calendar)
    if spec.residual and linear is not None:
        base = np.where(np.isfinite(linear), linear, base)
    return Inputs(np.concatenate(channels, axis=2).astype(np.float32), base, size)


def rows_read(spec: Spec, seasons: Int64) -> int:
    """Return how many rows a network reads, including its seasonal inputs, whose lengths are `(spec.seasonal,)`."""
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


def _seasonal(rows: Float, held: Int64, window: int, season: Int64, base: Float, size: Float) -> Float:
    """Return the value one season before the reading after each step, and whether it is known: `(n, window, 2)`."""
    count = rows.shape[1]
    at = count - window + np.arange(window)[None] + 1 - season[:, None]
    known = (season > 0)[:, None] & (at >= count - held[:, None]) & (at >= 0)
    values = rows[np.arange(len(rows))[:, None], np.where(known, at, 0), 0]
    scaled = np.where(known, (np.where(known, values, 0.0) - base[:, None]) / size[:, None], 0.0)
    return np.stack([np.clip(scaled, -CLIP, CLIP), known.astype(np.float64)], axis=2)
