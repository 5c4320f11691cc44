"""Shared networks: train, judge and publish one for each cohort with enough data.

A cohort is the series of one target and step. Its network applies patterns of one series to the others, also to a
series too young for its own network. It is published in the store like any model. Each series' blend decides the
network's share.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tidecast.files.history import History
from tidecast.models.cohorts import Cohort, by_cohort, nearest_cohort
from tidecast.models.model import Header, Model
from tidecast.models.store import ModelStore
from tidecast.models.time_grid import typical_step
from tidecast.settings import Settings, TrainSettings
from trainer.fingerprint import RUN
from trainer.fit.shared_network import Examples, examples_of, fit_shared, spec_of, tail_error
from trainer.fit.training_set import MIN_READINGS, TrainingSet, on_grid
from trainer.verdict import PENDING

MIN_EXAMPLES = 500  # with fewer there is little to learn that the pretrained network does not know
MOST_SERIES = 512  # series that represent a cohort: preparing each takes time
FEWEST_SERIES = 16  # as many represent a cohort of any size, such as those of one partition
MAX_EXAMPLES = 150_000  # of more only every second, third, … is used: this many take 250 megabytes, and two cores 40 s


class SharedNetwork(NamedTuple):
    """The network of a series' cohort."""

    cohort: str
    model: Model


def train_shared(
    training_sets: Sequence[TrainingSet],
    settings: Settings,
    store: ModelStore,
    created_ms: int,
    most: int = MAX_EXAMPLES,
) -> dict[str, SharedNetwork]:
    """Train a network for each cohort with enough data, and publish it where it is better than the champion.

    Args:
        training_sets: the series, including those without a cohort.
        settings: of training.
        store: of the networks.
        created_ms: epoch milliseconds.
        most: the most examples for a network; of more only every second, third, … is used.

    Returns:
        The network of each series whose cohort has one.
    """
    networks = networks_in(store)
    gridded = [training_set for training_set in training_sets if training_set.gridded]
    for cohort, members in by_cohort(gridded, _target_and_step, networks).items():
        trained = trained_network(cohort, members, networks.get(cohort), settings, created_ms, most)
        if trained:
            store.shared.publish(trained.model, promote=trained.promote)
            if trained.promote:
                networks[cohort] = trained.model
    return shared_by_series(training_sets, networks)


def shared_by_series(
    training_sets: Sequence[TrainingSet], networks: Mapping[Cohort, Model]
) -> dict[str, SharedNetwork]:
    """Return the network of each series whose cohort has one."""
    return {
        training_set.history.series: SharedNetwork(cohort.name, networks[cohort])
        for training_set in training_sets
        if training_set.gridded and (cohort := nearest_cohort(*_target_and_step(training_set), networks))
    }


def networks_in(store: ModelStore) -> dict[Cohort, Model]:
    """Return the cohorts of the store with their networks; a network that cannot be read is left out."""
    named = {name: store.cohort_network(name) for name in store.shared.served()}
    return {Cohort.of(name, network.header): network for name, network in named.items() if network}


def cohorts_of(histories: Sequence[History], known: Collection[Cohort]) -> dict[Cohort, list[History]]:
    """Return the cohorts that may train a network, each with the series that represent it.

    Args:
        histories: of all series.
        known: the cohorts that have a network.
    """
    able = [history for history in histories if len(history) >= MIN_READINGS and on_grid(history.ts)]
    cohorts = by_cohort(able, lambda history: (history.features[0], typical_step(history.ts)), known)
    return {cohort: representatives(members) for cohort, members in cohorts.items() if has_enough(members)}


def has_enough(members: Sequence[History]) -> bool:
    """Return whether a cohort may have enough examples for a network."""
    return sum(map(len, members)) >= MIN_EXAMPLES


def represents(series: int, network: Model) -> bool:
    """Return whether so many series may replace a cohort's network: at least half of those that it learned from, or 16.

    Otherwise the training of one series would fit the network to it, at the cost of all others.
    """
    learned = network.header.training.get("series") or 0
    return series >= min(FEWEST_SERIES, int(learned) / 2)


def representatives(members: Sequence[History]) -> list[History]:
    """Return at most `MOST_SERIES` series, chosen by the digest of their names so that the choice is not biased."""
    return sorted(members, key=lambda member: hashlib.sha256(member.series.encode()).digest())[:MOST_SERIES]


def _target_and_step(training_set: TrainingSet) -> tuple[str, float]:
    return training_set.spec.target, training_set.step_ms


class TrainedNetwork(NamedTuple):
    """A new network of a cohort, and whether it is better than the champion."""

    model: Model
    promote: bool


def trained_network(
    cohort: Cohort,
    members: Sequence[TrainingSet],
    champion: Model | None,
    settings: Settings,
    created_ms: int,
    most: int = MAX_EXAMPLES,
) -> TrainedNetwork | None:
    """Train a cohort's network, and compare it with the champion on the series' tails.

    Args:
        cohort: the cohort.
        members: its series.
        champion: its present network.
        settings: of training.
        created_ms: epoch milliseconds.
        most: the most examples; of more only every second, third, … is used.

    Returns:
        The network; None if there is too little data, the series do not represent the cohort, the champion was trained
        on the same readings, or the training diverged.
    """
    if sum(m.rows_before_tail for m in members) < MIN_EXAMPLES or (champion and not represents(len(members), champion)):
        return None
    digest = _digest(members, settings.train)
    if champion and champion.header.training.get(RUN) == digest:
        return None
    spec = spec_of(cohort.target)
    every = -(-sum(m.rows_before_tail for m in members) // most)
    examples = Examples.joined([examples_of(m, spec, 0, m.rows_before_tail, every) for m in members])
    if not len(examples.y):  # no measured reading has enough rows before it
        return None
    weights, losses = fit_shared(examples, spec, settings.train)
    if not np.isfinite([*losses, *(part.sum() for part in weights.values())]).all():
        return None
    training = {RUN: digest, "series": len(members), "examples": len(examples.y)}
    header = _header(cohort, members, settings.series.level, training, losses, created_ms)
    return _compared(Model(header, weights), champion, members)


def _header(
    cohort: Cohort,
    members: Sequence[TrainingSet],
    level: float,
    training: Mapping[str, object],
    losses: tuple[float, ...],
    created_ms: int,
) -> Header:
    return Header(
        series=cohort.name,
        spec=spec_of(cohort.target),
        step_ms=cohort.step_ms,
        center=(0.0,),
        scale=(1.0,),
        level=level,
        half_width=0.0,
        span=(min(int(m.history.ts[0]) for m in members), max(int(m.history.ts[m.tail - 1]) for m in members)),
        evidence=PENDING,
        training=dict(training),
        curves={"loss": losses},
        created_ms=created_ms,
    )


def _compared(network: Model, champion: Model | None, members: Sequence[TrainingSet]) -> TrainedNetwork:
    """Promote a network if its error on the tails is smaller than the champion's."""
    error = tail_error(network, members)
    champion_error = tail_error(champion, members) if champion else np.inf
    is_better = bool(error < champion_error)
    figures = f"mean error {error:.3f} on the tails of {len(members)} series, in units of the last value's"
    reason = "published" if is_better else f"not published, the champion's is {champion_error:.3f}"
    evidence = network.header.evidence.model_copy(update={"skill": 1 - error, "verdict": f"{reason}: {figures}"})
    return TrainedNetwork(Model(network.header.model_copy(update={"evidence": evidence}), network.weights), is_better)


def _digest(members: Sequence[TrainingSet], settings: TrainSettings) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for member in sorted(members, key=lambda member: member.history.series):
        digest.update(member.history.series.encode() + member.history.ts.tobytes() + member.history.values.tobytes())
    return digest.hexdigest()
