"""Training of many series of one spec together: the results are as if each trained alone, in a fraction of the time.

Series train in rounds; a round is one epoch of each. When a series stops, a waiting one takes its place, so that the
graph is always busy and its data fit in memory. Each core runs the graph on its own share of the series: cores
synchronise once an epoch, not at every small matrix product (measured on two busy cores: 1.3 and 1.7 times as fast).

A warm start is cheap because a champion's weights are already near the optimum. A few epochs are enough once their
noise is averaged out: the candidate of an epoch is the mean of the champion's weights and those of all epochs so far
(Polyak & Juditsky 1992; Izmailov et al. 2018). The champion's own weights are judged on the new validation part first,
and a candidate must beat them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float32
from tidecast.models.spec import Spec
from tidecast.settings import TrainSettings
from trainer.fit.adam import AdamState
from trainer.fit.graph import Graph, TrainingBatch, flatten, graph_of, unflatten
from trainer.fit.keras_models import initial_weights

MEMORY = 2**30  # bytes that the activations of one step may take, approximately
WIDEST = 32  # series in one step of one core: with more, cache misses cost more than the graph gains
CORES = os.cpu_count() or 1
WARM_EPOCHS = 4  # of a warm start at most
WARM_PATIENCE = 3  # epochs without a better validation loss that end a warm start
WARM_RATE = 0.45  # the learning rate of a warm start over that of the settings


@dataclass(frozen=True, slots=True)
class Problem:
    """One series to train on, already scaled; `initial` are the champion's weights for a warm start."""

    x: Float32  # (examples, window, features)
    y: Float32  # (examples,)
    x_val: Float32  # (validation examples, window, features)
    y_val: Float32  # (validation examples,)
    initial: Mapping[str, NDArray[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of training a series: the weights of its best epoch, and the losses by epoch."""

    weights: dict[str, Float32]  # as `Spec.shapes` names them
    loss: tuple[float, ...]  # by epoch, on the training part while it learned
    val_loss: tuple[float, ...]  # on the validation part at the end of each epoch
    best_epoch: int  # counted from 1; 0: no epoch beat the initial weights of a warm start


def fit_networks(
    problems: Sequence[Problem],
    spec: Spec,
    settings: TrainSettings,
    *,
    on_epoch: Callable[[int, int], None] | None = None,
) -> list[Fit]:
    """Train every problem as Keras would train it alone, with early stopping; keep the best epoch's weights.

    Args:
        problems: the series; each needs at least one example and one validation example.
        spec: their common shape.
        settings: epochs, patience, batch, learning rate and seed. The seed draws the same initial weights for
            every series, so that a fit does not depend on the other series trained with it.
        on_epoch: called after each round with its number and the number of series that still train or wait.
    """
    graph = graph_of(spec)
    fresh = flatten(initial_weights(spec, settings.seed), spec)
    # Train series of equal length together: a short one beside a long one would idle at the end of each epoch.
    waiting = sorted(range(len(problems)), key=lambda i: len(problems[i].y))
    fits: dict[int, Fit] = {}
    live: dict[int, _Run] = {}
    rounds = 0
    with ThreadPoolExecutor(CORES) as cores:
        while waiting or live:
            room = CORES * capacity(spec, settings.batch) - len(live)
            joining = [waiting.pop() for _ in range(min(room, len(waiting)))]
            live |= {i: _begin(problems[i], fresh, spec, settings) for i in joining}
            shares = [share for core in range(CORES) if (share := list(live.values())[core::CORES])]
            list(cores.map(partial(_train_epoch, graph=graph, settings=settings), shares))
            for i, run in list(live.items()):
                if run.finished():
                    fits[i] = live.pop(i).fit(spec)
            rounds += 1
            if on_epoch:
                on_epoch(rounds, len(live) + len(waiting))
    return [fits[i] for i in range(len(problems))]


def batch_order(examples: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """Return the order of the examples in an epoch (from 1), the same for every series of this length."""
    return np.random.default_rng((seed, epoch, examples)).permutation(examples)


def capacity(spec: Spec, batch: int) -> int:
    """Return how many series train at once on one core, limited by the memory of a step."""
    kept = 25 * spec.units * spec.layers * len(spec.directions) + spec.channels  # numbers per row and step
    return int(np.clip(MEMORY // (4 * CORES * kept * spec.window * batch), 1, WIDEST))


@dataclass(slots=True)
class _Run:
    """A series in training."""

    problem: Problem
    state: AdamState  # of this series only: (parameters,) each
    learning_rate: float
    epochs: int
    patience: int
    averages: bool
    best: Float32  # (parameters,)
    offered: Float32  # (parameters,): the candidate weights of the last epoch
    best_loss: float = np.inf
    best_epoch: int = 0
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        return len(self.val_loss)

    def offer(self, weights: Float32) -> Float32:
        """Return this epoch's candidate: its weights, or in a warm start the mean over champion and epochs so far."""
        share = 1 / (self.epoch + 2) if self.averages else 1.0
        self.offered = self.offered + np.float32(share) * (weights - self.offered) if share < 1 else weights
        return self.offered

    def record(self, loss: float, val_loss: float) -> None:
        self.loss.append(loss)
        self.val_loss.append(val_loss)
        if val_loss < self.best_loss:
            self.best = self.offered
            self.best_loss = val_loss
            self.best_epoch = self.epoch

    def finished(self) -> bool:
        return self.epoch >= self.epochs or self.epoch - self.best_epoch >= self.patience

    def fit(self, spec: Spec) -> Fit:
        return Fit(unflatten(self.best, spec), tuple(self.loss), tuple(self.val_loss), self.best_epoch)


def _begin(problem: Problem, fresh: Float32, spec: Spec, settings: TrainSettings) -> _Run:
    warm = problem.initial is not None
    weights = fresh if problem.initial is None else flatten(problem.initial, spec)
    nothing = np.zeros_like(weights)
    state = AdamState(weights, nothing, nothing, np.float32(0))
    return _Run(
        problem,
        state,
        learning_rate=settings.learning_rate * (WARM_RATE if warm else 1),
        epochs=min(settings.epochs, WARM_EPOCHS) if warm else settings.epochs,
        patience=min(settings.patience, WARM_PATIENCE) if warm else settings.patience,
        averages=warm,
        best=weights,
        offered=weights,
    )


def _judge_champions(runs: list[_Run], graph: Graph, batch: int) -> None:
    """Set the loss to beat of each warm start that begins to that of its initial weights."""
    starting = [run for run in runs if run.epoch == 0 and run.problem.initial is not None]
    if not starting:
        return
    weights = np.stack([run.best for run in starting])
    for run, loss in zip(starting, _val_losses(starting, weights, graph, batch), strict=True):
        run.best_loss = float(loss)


def _train_epoch(runs: list[_Run], graph: Graph, settings: TrainSettings) -> None:
    _judge_champions(runs, graph, settings.batch)
    state = AdamState(*(np.stack(parts) for parts in zip(*(run.state for run in runs), strict=True)))
    orders = [batch_order(len(run.problem.y), run.epoch + 1, settings.seed) for run in runs]
    total = np.zeros(len(runs))
    rates = np.array([run.learning_rate for run in runs], np.float32)
    for start in range(0, max(map(len, orders)), settings.batch):
        rows = [order[start : start + settings.batch] for order in orders]
        state, losses = graph.train(state, _batch([(r.problem.x, r.problem.y) for r in runs], rows), rates)
        total += losses.numpy() * [len(r) for r in rows]
    parts = [part.numpy() for part in state]
    for i, run in enumerate(runs):
        run.state = AdamState(*(part[i].copy() for part in parts))
    offers = np.stack([run.offer(run.state.weights) for run in runs])
    val_losses = _val_losses(runs, offers, graph, settings.batch)
    for run, loss, examples, val_loss in zip(runs, total, map(len, orders), val_losses, strict=True):
        run.record(float(loss / examples), float(val_loss))


def _val_losses(runs: list[_Run], weights: Any, graph: Graph, batch: int) -> NDArray[np.float64]:
    total = np.zeros(len(runs))
    counts = np.array([len(run.problem.y_val) for run in runs])
    for start in range(0, counts.max(), batch):
        rows = [np.arange(start, max(start, min(start + batch, n))) for n in counts]
        losses = graph.losses(weights, _batch([(r.problem.x_val, r.problem.y_val) for r in runs], rows))
        total += losses.numpy() * [len(r) for r in rows]
    result: NDArray[np.float64] = total / counts
    return result


def _batch(examples: list[tuple[Float32, Float32]], rows: list[NDArray[np.int64]]) -> TrainingBatch:
    """Select each series' rows; shorter selections are padded with rows of weight 0."""
    size = (len(rows), max(map(len, rows)))
    x = np.zeros((*size, *examples[0][0].shape[1:]), np.float32)
    y = np.zeros(size, np.float32)
    share = np.zeros(size, np.float32)
    for i, ((all_x, all_y), picked) in enumerate(zip(examples, rows, strict=True)):
        n = len(picked)
        if n:
            x[i, :n] = all_x[picked]
            y[i, :n] = all_y[picked]
            share[i, :n] = 1 / n
    return TrainingBatch(x, y, share)
