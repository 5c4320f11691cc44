"""Cut training windows from synthetic series, with histories of every length."""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float32
from tidecast.models.pretrained.inputs import UNCHANGED, inputs
from tidecast.models.pretrained.shape import LEAST_ROWS, WINDOW
from tidecast.models.time_grid import CLIP
from trainer.pretrain.families import Synthetic

SHORTEST = 5  # rows of a history with a target
WHOLE = 0.35  # the share of the windows with all rows before them; the others know the newest rows only
WEIGHTS = (0.1, 5.0)  # the limits of a window's scale over its series' usual change


class SyntheticWindows(NamedTuple):
    """Windows with a target at every position: the network answers after each row."""

    x: Float32  # (n, window, channels)
    targets: Float32  # (n, window) the next row's change in units of the window's scale
    weights: Float32  # (n, window) 0 where too few rows are known

    def __len__(self) -> int:
        return len(self.x)


def cut(rng: np.random.Generator, made: Synthetic, each: int) -> SyntheticWindows:
    """Cut this many windows from each series, at random places and in random order.

    The lengths of the histories are log-uniform. A window's errors weigh by the square root of its scale over its
    series' usual change, between equal weights in each window's unit and in the series' unit.
    """
    series, rows = made.values.shape
    owner = rng.permutation(np.repeat(np.arange(series), each))
    end = rng.integers(SHORTEST, rows, len(owner))  # the row of the last target
    length = np.exp(rng.uniform(np.log(SHORTEST), np.log(rows), len(owner))).astype(np.int64)
    held = np.minimum(np.where(rng.random(len(owner)) < WHOLE, rows, length), end)
    flat = made.values.ravel()
    ends = owner * rows + end
    prepared = inputs(flat, ends, held, made.seasons[owner])
    at = ends[:, None] + np.arange(-WINDOW, 0)  # negative places are before the series: of weight 0
    changes = (flat[at + 1] - flat[np.maximum(at, 0)]) / prepared.size[:, None]
    known = np.cumsum(prepared.x[:, :, 2], axis=1) * prepared.x[:, :, 2]
    usual = np.abs(np.diff(made.values, axis=1)).mean(axis=1)[owner]
    weight = np.sqrt(np.clip(prepared.size / np.maximum(usual, UNCHANGED), *WEIGHTS))
    return SyntheticWindows(
        prepared.x,
        np.clip(changes, -CLIP, CLIP).astype(np.float32),
        ((known >= LEAST_ROWS - 1) * weight[:, None]).astype(np.float32),
    )
