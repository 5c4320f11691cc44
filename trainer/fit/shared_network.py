"""The network that a cohort shares: one LSTM trained on the windows of all its series, each normalised by itself.

A cohort is the series of one step and target. What its network has learned of one series serves the others, and a
series too young for a network of its own. It is published in the store like any model, and each series' blend decides
how much it says there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.models import lstm
from tidecast.models.inputs import network_inputs, rows_read
from tidecast.models.model import Evidence, Header, Model, network_seasons
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import windows_before
from tidecast.settings import Settings, TrainSettings
from trainer.fingerprint import RUN
from trainer.fit.cohort import CORES, batch_order
from trainer.fit.graph import BETA_1, BETA_2, EPSILON, Batch, Float32, flatten, graph_of, unflatten
from trainer.fit.keras_models import initial_weights
from trainer.fit.training_set import Lesson

SAME_STEP = 0.01  # of a step: how far two series' may differ within a cohort
MIN_SERIES = 3  # fewer have little to tell one another
MIN_EXAMPLES = 2000  # fewer teach a network of this size nothing that the linear experts do not know
MAX_EXAMPLES = 150_000  # of more, only one in two, in three, … is taken: 150 megabytes and six minutes must do
BATCH = 256
RATE = 3e-3


@dataclass(frozen=True, slots=True)
class Examples:
    """What a cohort's network learns from: the windows of all its series."""

    x: Float32  # (examples, window, channels)
    y: Float32  # (examples,)
    weight: Float32  # (examples,) so that every series counts in units of its own changes


def spec_of(target: str) -> Spec:
    """The shape of a cohort's network."""
    return Spec(target=target, window=48, units=64, hidden=64, normalise=True, seasonal=2)


def cohort_name(step_ms: float, target: str) -> str:
    """What a cohort is called in the store."""
    return f"{target} every {step_ms / 1000:g} s"


def examples_of(lesson: Lesson, spec: Spec, start: int, stop: int, every: int = 1) -> Examples:
    """The windows of one series whose targets lie in the rows from `start` to `stop`; one in `every`."""
    grid = lesson.grid
    seasons = network_seasons(lesson.seasons, spec)
    rows = np.arange(max(start, spec.window), stop)
    measured = grid.measured
    rows = rows[(grid.segment[rows] == grid.segment[rows - spec.window]) & measured[rows] & measured[rows - 1]][::every]
    seen, held = windows_before(grid, rows, rows_read(spec, seasons))
    scale = np.full((len(rows), 1), lesson.change_scale)
    prepared = network_inputs(seen[..., :1], held, spec, np.tile(seasons, (len(rows), 1)), np.zeros_like(scale), scale)
    weight = (prepared.size / prepared.size.mean()).astype(np.float32) if len(rows) else np.zeros(0, np.float32)
    return Examples(prepared.x, prepared.targets(grid.values[rows, 0], spec), weight)


def train_shared(
    lessons: Sequence[Lesson],
    settings: Settings,
    store: ModelStore,
    created_ms: int,
    most: int | None = None,
) -> dict[str, tuple[str, Model]]:
    """Train a network for each cohort that can bear one, and publish it where it is better than the one before.

    Args:
        lessons: the series, those that belong to no cohort too.
        settings: of training.
        store: where the networks are.
        created_ms: epoch milliseconds.
        most: examples of a network, of more only one in two, in three, … is taken; None: `MAX_EXAMPLES`.

    Returns:
        For each series that belongs to a cohort with a network: the cohort's name and the network.
    """
    found: dict[str, tuple[str, Model]] = {}
    for name, members in _cohorts(lessons).items():
        # Steps are measured and differ a little from one training to the next: the cohort keeps its name.
        near = network_for(members[0].step_ms, members[0].spec.target, networks_in(store))
        name, network = near or (name, None)
        if len(members) >= MIN_SERIES and sum(m.rows_before_tail for m in members) >= MIN_EXAMPLES:
            network = _improved(name, members, network, settings, store, created_ms, most or MAX_EXAMPLES)
        if network:
            found |= {member.history.series: (name, network) for member in members}
    return found


def kept_shared(lessons: Sequence[Lesson], store: ModelStore) -> dict[str, tuple[str, Model]]:
    """As `train_shared`, of the networks that the store holds and without training any."""
    networks = networks_in(store)
    return {
        lesson.history.series: mine
        for lesson in lessons
        if lesson.gridded and (mine := network_for(lesson.step_ms, lesson.spec.target, networks))
    }


def networks_in(store: ModelStore) -> list[tuple[str, Model]]:
    """The networks that cohorts share, with the cohorts' names; one that cannot be read is left out."""
    return [(name, found) for name in store.shared.served() if (found := store.cohort_network(name))]


def network_for(step_ms: float, target: str, networks: Sequence[tuple[str, Model]]) -> tuple[str, Model] | None:
    """The network of the cohort to which a series belongs by its target and step: the nearest."""

    def distance(header: Header) -> float:
        return abs(header.step_ms / step_ms - 1)

    near = [
        (distance(network.header), name, network)
        for name, network in networks
        if network.spec.target == target and distance(network.header) <= SAME_STEP
    ]
    return min(near, key=lambda one: one[:2])[1:] if near else None


def fit_shared(
    examples: Examples, spec: Spec, settings: TrainSettings, initial: Mapping[str, Float32] | None = None
) -> tuple[dict[str, Float32], tuple[float, ...]]:
    """Train a network on a cohort's examples: Adam with a cosine decay, its absolute error in units of each series.

    Args:
        examples: of all series.
        spec: the network's shape.
        settings: for how many epochs, and the seed.
        initial: the weights to begin with, for a third of the epochs; None: fresh ones.

    Returns:
        The weights, and the loss of each epoch while it learned.
    """
    epochs = max(1, settings.shared_epochs // 3) if initial else settings.shared_epochs
    weights: Float32 = flatten(initial or initial_weights(spec, settings.seed), spec)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    n, taken = len(examples.y), 0
    steps = epochs * -(-n // BATCH)
    losses = []
    with ThreadPoolExecutor(CORES) as cores:
        for epoch in range(1, epochs + 1):
            order, total = batch_order(n, epoch, settings.seed), 0.0
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
    """A batch's loss and gradient, each core taking a share of its rows: they add up to those of the whole.

    Measured on two cores, 256 rows of 48 steps: 51 ms, where one call that uses both cores takes 75.
    """
    graph, whole = graph_of(spec), examples.weight[rows].sum()

    def of(shard: NDArray[np.int64]) -> tuple[float, Float32]:
        batch = Batch(examples.x[shard][None], examples.y[shard][None], (examples.weight[shard] / whole)[None])
        loss, gradient = graph.slope(weights[None], batch)
        return float(loss[0]), gradient.numpy()[0]

    found = list(cores.map(of, np.array_split(rows, min(CORES, len(rows)))))
    return sum(loss for loss, _ in found), np.sum([gradient for _, gradient in found], axis=0)


def _improved(
    name: str,
    members: Sequence[Lesson],
    champion: Model | None,
    settings: Settings,
    store: ModelStore,
    created_ms: int,
    most: int,
) -> Model | None:
    """Train the cohort's network; the better one on the newest readings of its series is its champion from now on.

    A training that diverged leaves the champion, or none, and no version.
    """
    digest = _digest(members, settings.train)
    if champion and champion.header.training.get(RUN) == digest:
        return champion  # trained on these very readings
    spec = spec_of(members[0].spec.target)
    every = -(-sum(m.rows_before_tail for m in members) // most)
    examples = _joined([examples_of(m, spec, 0, m.rows_before_tail, every) for m in members])
    initial = champion.weights if champion and champion.spec == spec else None
    weights, losses = fit_shared(examples, spec, settings.train, initial)
    if not np.isfinite([*losses, *(part.sum() for part in weights.values())]).all():
        return champion
    header = Header(
        series=name,
        spec=spec,
        step_ms=members[0].step_ms,
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
    theirs = _tail_error(champion, members) if champion else np.inf
    promote = bool(mine < theirs)
    said = f"mean error {mine:.3f} on the tails of {len(members)} series, in units of the last value's"
    verdict = f"published: {said}" if promote else f"not published, the champion's is {theirs:.3f}: {said}"
    evidence = header.evidence.model_copy(update={"skill": 1 - mine, "verdict": verdict})
    network = Model(header.model_copy(update={"evidence": evidence}), weights)
    store.shared.publish(network, promote=promote)
    return network if promote else champion


def _tail_error(network: Model, members: Sequence[Lesson]) -> float:
    """The mean over the series of the network's MAE on their tails, over the last value's."""
    ratios = []
    for member in members:
        examples = examples_of(member, network.spec, member.rows_before_tail, len(member.grid))
        naive = np.abs(examples.y) @ examples.weight
        if naive > 0:
            answer = lstm.forward(examples.x, network.weights, network.spec.activation)[:, 0]
            ratios.append(float(np.abs(answer - examples.y) @ examples.weight / naive))
    return float(np.mean(ratios)) if ratios else 1.0


def _cohorts(lessons: Sequence[Lesson]) -> dict[str, list[Lesson]]:
    """Group lessons by target and step, which may differ a little; only what lies on a grid has a step to share."""
    found: dict[str, list[Lesson]] = {}
    for lesson in sorted((one for one in lessons if one.gridded), key=lambda one: (one.spec.target, one.step_ms)):
        for members in found.values():
            first = members[0]
            if first.spec.target == lesson.spec.target and lesson.step_ms <= first.step_ms * (1 + SAME_STEP):
                members.append(lesson)
                break
        else:
            found[cohort_name(lesson.step_ms, lesson.spec.target)] = [lesson]
    return found


def _joined(parts: Sequence[Examples]) -> Examples:
    return Examples(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "weight")))


def _digest(members: Sequence[Lesson], settings: TrainSettings) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for member in sorted(members, key=lambda one: one.history.series):
        digest.update(member.history.series.encode() + member.history.ts.tobytes() + member.history.values.tobytes())
    return digest.hexdigest()
