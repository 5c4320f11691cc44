"""Training of a shared network: the pretrained one, tuned on the windows of all series of a cohort."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float32
from tidecast.models import lstm
from tidecast.models.inputs import rows_read
from tidecast.models.model import Model, network_seasons
from tidecast.models.pretrained import network as pretrained
from tidecast.models.spec import Spec
from tidecast.models.time_grid import rows_held, target_rows
from tidecast.online.kernels.networks.inputs import prepare
from tidecast.online.kernels.rows import Rows
from tidecast.settings import TrainSettings
from trainer.fit.adam import AdamState, adam
from trainer.fit.graph import TrainingBatch, flatten, graph_of, unflatten
from trainer.fit.own_networks import CORES, batch_order
from trainer.fit.training_set import TrainingSet

BATCH = 256
RATE = 1e-3
AT_ONCE = 4096  # windows that a network answers in one call, which takes 50 KB for each


@dataclass(frozen=True, slots=True)
class Examples:
    """The training examples of a cohort's network: the windows of all its series."""

    x: Float32  # (examples, window, channels)
    y: Float32  # (examples,)
    weight: Float32  # (examples,) scales the errors of each series to units of its own changes

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the examples of several series."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "weight")))


def spec_of(target: str) -> Spec:
    """Return the spec of a cohort's network, which begins with the weights of the package's."""
    return pretrained.spec_of(pretrained.shipped().weights, target)


def examples_of(training_set: TrainingSet, spec: Spec, start: int, stop: int, every: int = 1) -> Examples:
    """Return the windows of one series with targets in the rows from `start` to `stop`; one in `every`."""
    grid = training_set.grid
    seasons = network_seasons(training_set.seasons, spec.seasonal)
    at = target_rows(grid, spec.least_rows, start, stop)[::every]
    n = len(at)
    held = rows_held(grid, at, rows_read(spec, seasons))
    # The loop reads the rows in place: windows of a long season would take gigabytes for a long series.
    rows = Rows(grid.values[:, 0].copy(), at, held, np.ones(n, np.int64))
    scaler = np.zeros((n, 1)), np.full((n, 1), training_set.change_scale)
    prepared = prepare(rows, spec, scaler, np.tile(seasons, (n, 1)))  # the spec reads no calendar
    weight = (prepared.size / prepared.size.mean()).astype(np.float32) if n else np.zeros(0, np.float32)
    return Examples(prepared.x, prepared.targets(grid.values[at, 0], spec), weight)


def fit_shared(examples: Examples, spec: Spec, settings: TrainSettings) -> tuple[dict[str, Float32], tuple[float, ...]]:
    """Tune the pretrained network on a cohort's examples by Adam with a cosine decay.

    The loss is the absolute error in units of each series.

    Args:
        examples: of all series.
        spec: of `spec_of`.
        settings: the number of epochs, and the seed.

    Returns:
        The weights, and the training loss of each epoch.
    """
    epochs = settings.shared_epochs
    weights = flatten(pretrained.shipped().weights, spec)[None]
    # The step count is in float64: so Adam computes the size of its steps in float64, which is then rounded once.
    state = AdamState(weights, np.zeros_like(weights), np.zeros_like(weights), np.zeros(1))
    n = len(examples.y)
    steps = epochs * -(-n // BATCH)
    losses = []
    with ThreadPoolExecutor(CORES) as cores:
        for epoch in range(1, epochs + 1):
            order = batch_order(n, epoch, settings.seed)
            total = 0.0
            for start in range(0, n, BATCH):
                rows = order[start : start + BATCH]
                loss, gradient = _slope(state.weights, examples, rows, spec, cores)
                total += loss * len(rows)
                rate = RATE * 0.5 * (1 + np.cos(np.pi * state.steps / steps))
                state = adam(state, gradient, np.ones(1, np.float32), rate, np)
                state = state._replace(weights=state.weights.astype(np.float32))
            losses.append(total / n)
    return unflatten(state.weights[0], spec), tuple(losses)


def tail_error(network: Model, members: Sequence[TrainingSet]) -> float:
    """Return the ratio of the network's MAE to the last value's on the tails, as a mean over the series."""
    ratios = []
    for member in members:
        examples = examples_of(member, network.spec, member.rows_before_tail, len(member.grid))
        naive = np.abs(examples.y) @ examples.weight
        if naive > 0:
            calls = np.array_split(examples.x, -(-len(examples.x) // AT_ONCE))
            answer = np.concatenate([lstm.forward(x, network.weights, network.spec.activation)[:, 0] for x in calls])
            ratios.append(float(np.abs(answer - examples.y) @ examples.weight / naive))
    return float(np.mean(ratios)) if ratios else 1.0


def _slope(
    weights: Float32, examples: Examples, rows: NDArray[np.int64], spec: Spec, cores: ThreadPoolExecutor
) -> tuple[float, Float32]:
    """Return a batch's loss and gradient, as sums over the shares of rows that the cores compute.

    Measured on two cores, 256 rows of an LSTM(64) over 48 steps: 51 ms, where one call that uses both cores takes 75.

    Args:
        weights: `(1, parameters)`, as the gradient.
        examples: of all series.
        rows: `(batch,)` the examples to use.
        spec: the network's shape.
        cores: a thread for each core.
    """
    graph = graph_of(spec)
    whole = examples.weight[rows].sum()

    def of(share: NDArray[np.int64]) -> tuple[float, Float32]:
        batch = TrainingBatch(examples.x[share][None], examples.y[share][None], (examples.weight[share] / whole)[None])
        loss, gradient = graph.slope(weights, batch)
        return float(loss[0]), gradient.numpy()

    parts = list(cores.map(of, np.array_split(rows, min(CORES, len(rows)))))
    return sum(loss for loss, _ in parts), np.sum([gradient for _, gradient in parts], axis=0)
