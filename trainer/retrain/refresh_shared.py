"""Retraining of the cohorts' networks during a run: when it is due, and on which series."""

import time
from collections.abc import Sequence

import numpy as np
import structlog

from tidecast.files.history import History
from tidecast.models import time_grid
from tidecast.models.cohorts import by_cohort
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, TrainSettings
from trainer.data.gross_errors import without_gross_errors
from trainer.fit.own_networks import CORES
from trainer.fit.training_set import MIN_READINGS, TrainingSet, Untrainable, on_grid, prepare, split
from trainer.shared_networks import (
    MAX_EXAMPLES,
    MIN_EXAMPLES,
    has_enough,
    networks_in,
    representatives,
    represents,
    train_shared,
)

STALE = 0.2  # of the readings that a network was trained on: this many must be new before it is due
SHARE = 1 / 3  # of the run's budget, for all cohorts together
EXAMPLE_S = 0.16e-3  # core seconds for an example in an epoch (20,000 in one took two cores 1.8 s)
WORTHWHILE = 0.25  # of the examples: if fewer fit into the time, training waits for another run

_log = structlog.get_logger("tidecast.retrain")


def refresh_shared(histories: Sequence[History], settings: Settings, store: ModelStore, budget_s: float) -> None:
    """Train the networks of cohorts without one, or with one that is stale.

    Args:
        histories: all of the partition: its series represent the cohort.
        settings: of training.
        store: of the networks.
        budget_s: of the run: training that would take more than a third of it is put off.
    """
    if not settings.train.shared_epochs:
        return
    left_s = budget_s * SHARE
    networks = networks_in(store)
    able = [history for history in histories if len(history) >= MIN_READINGS and on_grid(history.ts)]
    for cohort, members in by_cohort(able, _target_and_step, networks).items():
        before = time.monotonic()
        network = networks.get(cohort)
        if is_due(members, network, settings.train):
            most = _examples_that_fit(members, settings, left_s)
            if most:
                training_sets = [_prepared(member, settings) for member in representatives(members)]
                trainable = [each for each in training_sets if isinstance(each, TrainingSet)]
                train_shared(trainable, settings, store, round(time.time() * 1000), most)
            seconds = round(time.monotonic() - before, 1)
            _log.info(
                "shared network considered", series=len(members), examples=most, trained=bool(most), seconds=seconds
            )
        left_s -= time.monotonic() - before


def is_due(members: Sequence[History], network: Model | None, settings: TrainSettings) -> bool:
    """Return whether a cohort's network is missing or stale: it could learn from a fifth as many readings more.

    Args:
        members: the series of the cohort.
        network: its present network.
        settings: the share of the newest readings that judge: no network learns from them.
    """
    if not has_enough(members):
        return False
    if network is None:
        return True
    if not represents(len(members), network):
        return False
    learned = sum(int(np.searchsorted(member.ts, network.header.span[1], side="right")) for member in members)
    learnable = sum(split(len(member), settings)[1] for member in members)
    return learnable - learned >= STALE * learned


def _examples_that_fit(members: Sequence[History], settings: Settings, left_s: float) -> int:
    """Return how many examples can be trained on in the time left; 0 if they are too few to be worth it."""
    fit = int(left_s * CORES / (EXAMPLE_S * settings.train.shared_epochs))
    there = min(MAX_EXAMPLES, sum(map(len, representatives(members))))
    return min(there, fit) if fit >= max(MIN_EXAMPLES, WORTHWHILE * there) else 0


def _target_and_step(history: History) -> tuple[str, float]:
    return history.features[0], time_grid.typical_step(history.ts)


def _prepared(history: History, settings: Settings) -> TrainingSet | Untrainable:
    spec = Spec(target=history.features[0], features=history.features)
    return prepare(without_gross_errors(history), spec, settings.train, settings.series.max_gap)
