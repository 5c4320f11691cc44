"""When a cohort's network is trained anew during a run of the schedule, and on what."""

import hashlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
import structlog

from tidecast.files.history import History
from tidecast.models import time_grid
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.fit.cohort import CORES
from trainer.fit.shared_network import (
    MAX_EXAMPLES,
    MIN_EXAMPLES,
    MIN_SERIES,
    SAME_STEP,
    network_for,
    networks_in,
    train_shared,
)
from trainer.fit.training_set import MIN_READINGS, Lesson, on_grid, prepare

STALE = 0.2  # of what it learned from: so much must be new to it
SHARE = 1 / 3  # of the budget that all of it may take
EXAMPLE_S = 0.26e-3  # of one core for an example in an epoch (140,000 in 12 epochs took two cores 217 s)
WORTHWHILE = 0.25  # of the examples that there are: where fewer fit into the time, another run has to do it
MOST_SERIES = 512  # that stand for all: each must be laid out first

_log = structlog.get_logger("tidecast.retrain")


def refresh(histories: Sequence[History], settings: Settings, store: ModelStore, budget_s: float) -> None:
    """Train the networks of cohorts that have none, or one that knows too little of what there is now.

    Args:
        histories: all of the partition: its series stand for the cohort.
        settings: of training.
        store: of the networks.
        budget_s: of the run: one that would take more than a third of it is put off.
    """
    if not settings.train.shared_epochs:
        return
    left_s, networks = budget_s * SHARE, networks_in(store)
    for members in _cohorts(histories):
        before = time.monotonic()
        near = network_for(time_grid.typical_step(members[0].ts), members[0].features[0], networks)
        network = near and near[1]
        if is_due(members, network):
            most = _examples_that_fit(members, network, settings, left_s)
            if most:
                lessons = [_lesson(member, settings) for member in _some(members)]
                train_shared([one for one in lessons if one], settings, store, round(time.time() * 1000), most)
            seconds = round(time.monotonic() - before, 1)
            _log.info("cohort", series=len(members), examples=most, trained=bool(most), seconds=seconds)
        left_s -= time.monotonic() - before


def is_due(members: Sequence[History], network: Model | None) -> bool:
    """Whether a cohort's network is to be trained: there is none, or a fifth as much is new as it has learned from."""
    readings = sum(map(len, members))
    if len(members) < MIN_SERIES or readings < MIN_EXAMPLES:
        return False
    if network is None:
        return True
    learned = sum(int(np.searchsorted(one.ts, network.header.span[1], side="right")) for one in members)
    return readings - learned >= STALE * learned


def _examples_that_fit(members: Sequence[History], network: Model | None, settings: Settings, left_s: float) -> int:
    """How many examples can be learned from in the time that is left; 0: too few to be worth it."""
    epochs = max(1, settings.train.shared_epochs // 3) if network else settings.train.shared_epochs
    fit = int(left_s * CORES / (EXAMPLE_S * epochs))
    there = min(MAX_EXAMPLES, sum(map(len, _some(members))))
    return min(there, fit) if fit >= max(MIN_EXAMPLES, WORTHWHILE * there) else 0


def _cohorts(histories: Sequence[History]) -> Iterator[list[History]]:
    """Group what lies on a grid by target and step, which may differ a little."""
    able = [one for one in histories if len(one) >= MIN_READINGS and on_grid(one.ts)]
    steps = {one.series: time_grid.typical_step(one.ts) for one in able}
    group: list[History] = []
    for one in sorted(able, key=lambda one: (one.features[0], steps[one.series])):
        first = group[0] if group else one
        if one.features[0] != first.features[0] or steps[one.series] > steps[first.series] * (1 + SAME_STEP):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _some(members: Sequence[History]) -> list[History]:
    """At most so many, chosen by the digest of their names: no part of the cohort is left out on purpose."""
    return sorted(members, key=lambda one: hashlib.sha256(one.series.encode()).digest())[:MOST_SERIES]


def _lesson(history: History, settings: Settings) -> Lesson | None:
    spec = Spec(target=history.features[0], features=history.features)
    found = prepare(history, spec, settings.train, settings.series.max_gap)
    return found if isinstance(found, Lesson) else None
