"""The shared network of a cohort: one LSTM trained on the windows of all its series, each normalised separately.

A cohort is the series of one step and target. Its network applies patterns of one series to the others, also to a
series too young for its own network. It is published in the store like any model. Each series' blend decides the
network's share.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float32
from tidecast.models import lstm
from tidecast.models.cohorts import Cohort, by_cohort, nearest_cohort
from tidecast.models.inputs import network_inputs, rows_read
from tidecast.models.model import Evidence, Header, Model, network_seasons
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import windows_before
from tidecast.settings import Settings, TrainSettings
from trainer.fingerprint import RUN
from trainer.fit.cohort import CORES, batch_order
from trainer.fit.graph import BETA_1, BETA_2, EPSILON, Batch, flatten, graph_of, unflatten
from trainer.fit.keras_models import initial_weights
from trainer.fit.training_set import TrainingSet

MIN_SERIES = 3  # with fewer series there is little to share
MIN_EXAMPLES = 2000  # with fewer a network of this size is not better than the linear experts
MAX_EXAMPLES = 150_000  # of more only every second, third, … is used: this many take 150 megabytes and six minutes
BATCH = 256
RATE = 3e-3


@dataclass(frozen=True, slots=True)
class Examples:
    """The training examples of a cohort's network: the windows of all its series."""

    x: Float32  # (examples, window, channels)
    y: Float32  # (examples,)
    weight: Float32  # (examples,) scales the errors of each series to units of its own changes


def spec_of(target: str) -> Spec:
    """Return the spec of a cohort's network."""
    return Spec(target=target, window=48, units=64, hidden=64, normalise=True, seasonal=2)


def examples_of(training_set: TrainingSet, spec: Spec, start: int, stop: int, every: int = 1) -> Examples:
    """Return the windows of one series with targets in the rows from `start` to `stop`; one in `every`."""
    grid = training_set.grid
    seasons = network_seasons(training_set.seasons, spec)
    rows = np.arange(max(start, spec.window), stop)
    measured = grid.measured
    rows = rows[(grid.segment[rows] == grid.segment[rows - spec.window]) & measured[rows] & measured[rows - 1]][::every]
    windows, held = windows_before(grid, rows, rows_read(spec, seasons))
    scale = np.full((len(rows), 1), training_set.change_scale)
    prepared = network_inputs(
        windows[..., :1], held, spec, np.tile(seasons, (len(rows), 1)), np.zeros_like(scale), scale
    )
    weight = (prepared.size / prepared.size.mean()).astype(np.float32) if len(rows) else np.zeros(0, np.float32)
    return Examples(prepared.x, prepared.targets(grid.values[rows, 0], spec), weight)


def train_shared(
    training_sets: Sequence[TrainingSet],
    settings: Settings,
    store: ModelStore,
    created_ms: int,
    most: int | None = None,
) -> dict[str, tuple[str, Model]]:
    """Train a network for each cohort with enough data, and publish it where it is better than the champion.

    Args:
        lessons: the series, including those without a cohort.
        settings: of training.
        store: where the networks are.
        created_ms: epoch milliseconds.
        most: the most examples for a network; of more only every second, third, … is used; None: `MAX_EXAMPLES`.

    Returns:
        For each series that belongs to a cohort with a network: the cohort's name and the network.
    """
    networks = networks_in(store)
    gridded = [training_set for training_set in training_sets if training_set.gridded]
    by_series: dict[str, tuple[str, Model]] = {}
    for cohort, members in by_cohort(gridded, _target_and_step, networks).items():
        network = networks.get(cohort)
        if len(members) >= MIN_SERIES and sum(m.rows_before_tail for m in members) >= MIN_EXAMPLES:
            network = _improved(cohort, members, network, settings, store, created_ms, most or MAX_EXAMPLES)
        if network:
            by_series |= {member.history.series: (cohort.name, network) for member in members}
    return by_series


def kept_shared(training_sets: Sequence[TrainingSet], store: ModelStore) -> dict[str, tuple[str, Model]]:
    """Return the same as `train_shared` from the networks in the store, without training."""
    networks = networks_in(store)
    return {
        training_set.history.series: (cohort.name, networks[cohort])
        for training_set in training_sets
        if training_set.gridded and (cohort := nearest_cohort(*_target_and_step(training_set), networks))
    }


def networks_in(store: ModelStore) -> dict[Cohort, Model]:
    """Return the cohorts of the store with their networks; a network that cannot be read is left out."""
    named = {name: store.cohort_network(name) for name in store.shared.served()}
    return {Cohort.of(name, network.header): network for name, network in named.items() if network}


def _target_and_step(training_set: TrainingSet) -> tuple[str, float]:
    return training_set.spec.target, training_set.step_ms


def fit_shared(
    examples: Examples, spec: Spec, settings: TrainSettings, initial: Mapping[str, Float32] | None = None
) -> tuple[dict[str, Float32], tuple[float, ...]]:
    """Train a network on a cohort's examples by Adam with a cosine decay; the loss is in units of each series.

    Args:
        examples: of all series.
        spec: the network's shape.
        settings: the number of epochs, and the seed.
        initial: weights to start from, which takes a third of the epochs; None: fresh weights.

    Returns:
        The weights, and the training loss of each epoch.
    """
    epochs = max(1, settings.shared_epochs // 3) if initial else settings.shared_epochs
    weights: Float32 = flatten(initial or initial_weights(spec, settings.seed), spec)
    first = np.zeros_like(weights)
    second = np.zeros_like(weights)
    n = len(examples.y)
    taken = 0
    steps = epochs * -(-n // BATCH)
    losses = []
    with ThreadPoolExecutor(CORES) as cores:
        for epoch in range(1, epochs + 1):
            order = batch_order(n, epoch, settings.seed)
            total = 0.0
            for start in range(0, n, BATCH):
                rows = order[start : start + BATCH]
                loss, gradient = _slope(weights, examples, rows, spec, cores)
                total += loss * len(rows)
                rate = RATE * 0.5 * (1 + np.cos(np.pi * taken / steps))
                taken += 1
                rate *= np.sqrt(1 - BETA_2**taken) / (1 - BETA_1**taken)
                first += np.float32(1 - BETA_1) * (gradient - first)
                second += np.float32(1 - BETA_2) * (gradient**2 - second)
                weights = (weights - rate * first / (np.sqrt(second) + EPSILON)).astype(np.float32)
            losses.append(total / n)
    return unflatten(weights, spec), tuple(losses)


def _slope(
    weights: Float32, examples: Examples, rows: NDArray[np.int64], spec: Spec, cores: ThreadPoolExecutor
) -> tuple[float, Float32]:
    """Return a batch's loss and gradient, as sums over the shares of rows that the cores compute.

    Measured on two cores, 256 rows of 48 steps: 51 ms, where one call that uses both cores takes 75.
    """
    graph = graph_of(spec)
    whole = examples.weight[rows].sum()

    def of(shard: NDArray[np.int64]) -> tuple[float, Float32]:
        batch = Batch(examples.x[shard][None], examples.y[shard][None], (examples.weight[shard] / whole)[None])
        loss, gradient = graph.slope(weights[None], batch)
        return float(loss[0]), gradient.numpy()[0]

    parts = list(cores.map(of, np.array_split(rows, min(CORES, len(rows)))))
    return sum(loss for loss, _ in parts), np.sum([gradient for _, gradient in parts], axis=0)


def _improved(
    cohort: Cohort,
    members: Sequence[TrainingSet],
    champion: Model | None,
    settings: Settings,
    store: ModelStore,
    created_ms: int,
    most: int,
) -> Model | None:
    """Train the cohort's network, publish it, and return the better of it and the champion on the series' tails.

    If training diverges, the champion (or None) stays, and no version is written.
    """
    digest = _digest(members, settings.train)
    if champion and champion.header.training.get(RUN) == digest:
        return champion  # trained on these same readings
    spec = spec_of(cohort.target)
    every = -(-sum(m.rows_before_tail for m in members) // most)
    examples = _joined([examples_of(m, spec, 0, m.rows_before_tail, every) for m in members])
    initial = champion.weights if champion and champion.spec == spec else None
    weights, losses = fit_shared(examples, spec, settings.train, initial)
    if not np.isfinite([*losses, *(part.sum() for part in weights.values())]).all():
        return champion
    header = Header(
        series=cohort.name,
        spec=spec,
        step_ms=cohort.step_ms,
        center=(0.0,),
        scale=(1.0,),
        level=settings.series.level,
        half_width=0.0,
        span=(min(int(m.history.ts[0]) for m in members), max(int(m.history.ts[m.tail - 1]) for m in members)),
        evidence=Evidence(rows=0, season=None, scores={}, skill=0.0, verdict="not judged yet"),
        training={RUN: digest, "series": len(members), "examples": len(examples.y)},
        curves={"loss": losses},
        created_ms=created_ms,
    )
    network = Model(header, weights)
    mine = _tail_error(network, members)
    champion_error = _tail_error(champion, members) if champion else np.inf
    promote = bool(mine < champion_error)
    figures = f"mean error {mine:.3f} on the tails of {len(members)} series, in units of the last value's"
    verdict = (
        f"published: {figures}" if promote else f"not published, the champion's is {champion_error:.3f}: {figures}"
    )
    evidence = header.evidence.model_copy(update={"skill": 1 - mine, "verdict": verdict})
    network = Model(header.model_copy(update={"evidence": evidence}), weights)
    store.shared.publish(network, promote=promote)
    return network if promote else champion


def _tail_error(network: Model, members: Sequence[TrainingSet]) -> float:
    """Return the ratio of the network's MAE to the last value's on the tails, as a mean over the series."""
    ratios = []
    for member in members:
        examples = examples_of(member, network.spec, member.rows_before_tail, len(member.grid))
        naive = np.abs(examples.y) @ examples.weight
        if naive > 0:
            answer = lstm.forward(examples.x, network.weights, network.spec.activation)[:, 0]
            ratios.append(float(np.abs(answer - examples.y) @ examples.weight / naive))
    return float(np.mean(ratios)) if ratios else 1.0


def _joined(parts: Sequence[Examples]) -> Examples:
    return Examples(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "weight")))


def _digest(members: Sequence[TrainingSet], settings: TrainSettings) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for member in sorted(members, key=lambda member: member.history.series):
        digest.update(member.history.series.encode() + member.history.ts.tobytes() + member.history.values.tobytes())
    return digest.hexdigest()
