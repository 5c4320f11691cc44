"""The training pipeline: takes histories, writes versions to the store and returns a verdict on each series."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.candidate import Candidate, candidate_of
from trainer.fit.own_networks import Fit, fit_networks
from trainer.fit.seasonality import check_season, check_season_fits
from trainer.publication import publish
from trainer.shared_networks import SharedNetwork, stored_shared, train_shared
from trainer.verdict import Verdict

CHUNK = 128  # series trained between two writes to the store: an interruption loses at most this many

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of one training run.

    Attributes:
        season: the season length in rows; None: detected from the data; 1: no season.
        force: train a series even if it was trained with the same settings on the same readings.
        progress: called after every epoch and every chunk with the number of histories done. A history in training
            counts by the share of its epochs.
        now_ms: the creation time of the versions, epoch milliseconds; None: now.
        fit: trains the prepared series of a chunk, as `fit_networks` does.
        train_cohorts: whether to train the cohorts' networks; otherwise those in the store stay in use.
    """

    season: int | None = None
    force: bool = False
    progress: Progress | None = None
    now_ms: int | None = None
    fit: Callable[..., list[Fit]] = fit_networks
    train_cohorts: bool = True


def train(
    histories: Sequence[History],
    spec: Spec,
    settings: Settings,
    store: ModelStore,
    options: TrainOptions | None = None,
) -> list[Verdict]:
    """Train a model for each history and publish it where it is better than the current champion.

    A series that cannot be trained does not stop the others. If the run is interrupted, published versions stay and
    the same call resumes there. The verdicts are in the order of the histories.

    Args:
        histories: one for each series.
        spec: the network's shape; target and features come from each history.
        settings: how to fit and judge (`train`); which gaps to fill and what level to cover (`series`).
        store: champions are read from it and versions are written to it.
        options: of this run.

    Raises:
        SettingsError: the season is out of range.
    """
    options = options or TrainOptions()
    check_season(options.season)
    check_season_fits(options.season, max(map(len, histories), default=0))
    created_ms = round(time.time() * 1000) if options.now_ms is None else options.now_ms
    prepared = [
        candidate_of(history, spec, settings, store, options.season, force=options.force) for history in histories
    ]
    verdicts = {verdict.series: verdict for verdict in prepared if isinstance(verdict, Verdict)}
    candidates = [candidate for candidate in prepared if isinstance(candidate, Candidate)]
    shared = _shared_networks(candidates, settings, store, created_ms, options)
    for chunk in _chunks(candidates):
        for candidate, fitted in _fitted(chunk, settings, options, len(verdicts)):
            network = shared.get(candidate.series)
            verdicts[candidate.series] = publish(candidate, fitted, network, settings, store, created_ms)
        if options.progress:
            options.progress(len(verdicts))
    return [verdicts[history.series] for history in histories]


def _shared_networks(
    candidates: Sequence[Candidate], settings: Settings, store: ModelStore, created_ms: int, options: TrainOptions
) -> dict[str, SharedNetwork]:
    training_sets = [candidate.training_set for candidate in candidates]
    if not options.train_cohorts:
        return stored_shared(training_sets, store)
    return train_shared(training_sets, settings, store, created_ms) if settings.train.shared_epochs else {}


def _chunks(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Yield groups of candidates to train together: of one shape, and of similar lengths to waste little padding."""

    def shape(candidate: Candidate) -> tuple[bool, int]:
        return candidate.training_set.without_network is None, candidate.training_set.spec.channels

    ordered = sorted(candidates, key=lambda candidate: (shape(candidate), len(candidate.training_set.history)))
    for _, alike in groupby(ordered, shape):
        while chunk := list(islice(alike, CHUNK)):
            yield chunk


def _fitted(
    candidates: Sequence[Candidate], settings: Settings, options: TrainOptions, done: int
) -> Iterator[tuple[Candidate, Fit | None]]:
    """Train a chunk's networks together, each from its champion's weights if they fit."""
    if candidates[0].training_set.without_network:
        return zip(candidates, [None] * len(candidates), strict=True)
    problems = [c.training_set.problem(c.parent and c.parent[1].weights) for c in candidates]

    def on_epoch(epoch: int, in_training: int) -> None:
        share = min(1.0, epoch / settings.train.epochs)
        if options.progress:
            options.progress(done + len(candidates) - in_training * (1 - share))

    fits = options.fit(problems, candidates[0].training_set.spec, settings.train, on_epoch=on_epoch)
    return zip(candidates, fits, strict=True)
