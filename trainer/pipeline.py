"""The training pipeline: takes histories, writes versions to the store and returns a verdict on each series."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from tidecast.errors import ModelError
from tidecast.files.history import History
from tidecast.models.gross_errors import limits
from tidecast.models.model import Evidence, Header, Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.data.gross_errors import sound
from trainer.evaluation.changepoint import change_of, parted
from trainer.evaluation.evaluate import (
    CHAMPION,
    MIN_ROWS,
    MODEL,
    evaluate_candidates,
    expert_answers,
    first_errors,
    habit_of,
    half_width,
    judge,
)
from trainer.fingerprint import RUN, run_digest, trained_before
from trainer.fit.cohort import Fit, fit_cohort
from trainer.fit.linear import fit_panel
from trainer.fit.seasonality import check_season, check_season_fits
from trainer.fit.shared_network import kept_shared, train_shared
from trainer.fit.training_set import TrainingSet, Untrainable, prepare, split

CHUNK = 128  # series trained between two writes to the store: an interruption loses at most this many
LIBRARIES = ("tidecast", "numpy", "keras", "tensorflow", "tensorflow-cpu")  # a version may depend on these
PENDING = Evidence(rows=0, season=None, scores={}, skill=0.0, verdict="not judged yet")

Status = Literal[
    "trained", "kept the champion", "already trained", "too short", "constant", "irregular", "refused", "readable"
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of training one series."""

    series: str
    status: Status
    reason: str  # a sentence, with figures if there are any
    version: int | None = None  # the version stored for the series, promoted or not
    evidence: Evidence | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a dict that JSON can encode."""
        return {**asdict(self), "evidence": self.evidence and self.evidence.model_dump()}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series in the pipeline, and the champion that its new model must beat."""

    training_set: TrainingSet
    digest: str  # identifies the run
    champion: tuple[int, Model] | None

    @property
    def parent(self) -> tuple[int, Model] | None:
        """Return the champion if its weights fit the spec; training then starts from them (a warm start)."""
        if self.champion and self.champion[1].header.network and self.champion[1].spec == self.training_set.spec:
            return self.champion
        return None


def train(
    histories: Sequence[History],
    spec: Spec,
    settings: Settings,
    store: ModelStore,
    *,
    season: int | None = None,
    force: bool = False,
    progress: Callable[[float], None] | None = None,
    now_ms: int | None = None,
    fit: Callable[..., list[Fit]] = fit_cohort,
    train_cohorts: bool = True,
) -> list[Verdict]:
    """Train a model for each history and publish it where it is better than the current champion.

    A series that cannot be trained does not stop the others. If the run is interrupted, published versions stay and
    the same call resumes there. The verdicts are in the order of the histories.

    Args:
        histories: one for each series.
        spec: the network's shape; target and features come from each history.
        settings: how to fit and judge (`train`); which gaps to fill and what level to cover (`series`).
        store: champions are read from it and versions are written to it.
        season: the season length in rows; None: detected from the data; 1: no season.
        force: train a series even if it was trained with the same settings on the same readings.
        progress: called after every epoch and every chunk with the number of histories done. A history in training
            counts by the share of its epochs.
        now_ms: the creation time of the versions, epoch milliseconds; None: now.
        fit: trains the prepared series of a chunk, as `fit_cohort` does.
        train_cohorts: whether to train the cohorts' networks; otherwise those in the store stay in use.

    Raises:
        SettingsError: the season is out of range.
    """
    check_season(season)
    check_season_fits(season, max(map(len, histories), default=0))
    report_progress = progress or (lambda _: None)
    created_ms = round(time.time() * 1000) if now_ms is None else now_ms
    verdicts: dict[str, Verdict] = {}
    candidates: list[Candidate] = []
    for history in histories:
        ready = _ready(history, spec, settings, store, season, force=force)
        if isinstance(ready, Candidate):
            candidates.append(ready)
        else:
            verdicts[history.series] = ready
    training_sets = [candidate.training_set for candidate in candidates]
    shared = (
        _cohort_networks(training_sets, settings, store, created_ms)
        if train_cohorts
        else kept_shared(training_sets, store)
    )
    for chunk in _chunks(candidates):
        for candidate, fitted in _fit(chunk, settings, fit, report_progress, len(verdicts)):
            network = shared.get(candidate.training_set.history.series)
            verdict = _publish(candidate, fitted, network, settings, store, created_ms)
            verdicts[candidate.training_set.history.series] = verdict
        report_progress(len(verdicts))
    return [verdicts[history.series] for history in histories]


def _cohort_networks(
    training_sets: Sequence[TrainingSet], settings: Settings, store: ModelStore, created_ms: int
) -> dict[str, tuple[str, Model]]:
    """Return each series' cohort name and network."""
    if not settings.train.shared_epochs:
        return {}
    return train_shared(training_sets, settings, store, created_ms)


def _chunks(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Yield groups of candidates to train together: of one shape, and of similar lengths to waste little padding."""

    def shape(candidate: Candidate) -> tuple[bool, int]:
        return candidate.training_set.without_network is None, candidate.training_set.spec.channels

    ordered = sorted(candidates, key=lambda candidate: (shape(candidate), len(candidate.training_set.history)))
    chunk: list[Candidate] = []
    for candidate in ordered:
        if chunk and (len(chunk) == CHUNK or shape(candidate) != shape(chunk[0])):
            yield chunk
            chunk = []
        chunk.append(candidate)
    if chunk:
        yield chunk


def _ready(
    history: History, spec: Spec, settings: Settings, store: ModelStore, season: int | None, *, force: bool
) -> Candidate | Verdict:
    """Prepare a series for training, or return the verdict that explains why it is not trained."""
    history = sound(history)
    try:
        spec = Spec(**{**spec.model_dump(), "target": history.features[0], "features": history.features})
    except ValidationError as exc:
        reason = str(exc.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        return Verdict(history.series, "refused", reason)
    digest = run_digest(history, spec, settings, season)
    if not force and (before := trained_before(store, history.series, digest)):
        number, header = before
        reason = f"kept version {number}, already trained on this history; {header.evidence.verdict}"
        return Verdict(history.series, "already trained", reason, number, header.evidence)
    champion = _champion(store, history.series)
    if not force and champion and _knows_the_tail(champion[1].header, history, settings):
        reason = f"version {champion[0]} was trained on readings as new as this history's last: bring newer ones"
        return Verdict(history.series, "kept the champion", reason, champion[0])
    training_set = prepare(history, spec, settings.train, settings.series.max_gap, season)
    if isinstance(training_set, Untrainable):
        return Verdict(history.series, training_set.cause, training_set.reason)
    return Candidate(training_set, digest, champion)


def _knows_the_tail(champion: Header, history: History, settings: Settings) -> bool:
    """Return whether a champion was trained on readings of this tail, and was judged on another tail."""
    tail = min(split(len(history), settings.train)[1], len(history) - 1)
    same = champion.judged == (int(history.ts[tail]), int(history.ts[-1]))
    return bool(champion.span[1] >= history.ts[-MIN_ROWS:][0]) and not same


def _fit(
    candidates: Sequence[Candidate],
    settings: Settings,
    fit: Callable[..., list[Fit]],
    tell: Callable[[float], None],
    done: int,
) -> Iterator[tuple[Candidate, Fit | None]]:
    """Train a chunk's networks together, each from its champion's weights if they fit."""
    if candidates[0].training_set.without_network:
        return zip(candidates, [None] * len(candidates), strict=True)
    problems = [c.training_set.problem(c.parent and c.parent[1].weights) for c in candidates]

    def on_epoch(epoch: int, in_training: int) -> None:
        share = min(1.0, epoch / settings.train.epochs)
        tell(done + len(candidates) - in_training * (1 - share))

    fits = fit(problems, candidates[0].training_set.spec, settings.train, on_epoch=on_epoch)
    return zip(candidates, fits, strict=True)


def _publish(
    candidate: Candidate,
    fitted: Fit | None,
    shared: tuple[str, Model] | None,
    settings: Settings,
    store: ModelStore,
    created_ms: int,
) -> Verdict:
    """Judge the trained model on the tail and store it; promote it if it passes the gate."""
    training_set = candidate.training_set
    series = training_set.history.series
    max_gap = settings.series.max_gap
    if fitted and not _finite(fitted):
        return Verdict(series, "refused", "its training diverged: lower the learning rate, or choose the form `change`")
    cohort, network = shared or (None, None)
    header = _header(candidate, fitted, cohort, settings, created_ms)
    model = Model(header, fitted.weights if fitted else {}, training_set.panel)
    answers = expert_answers(model, network, training_set.history, training_set.tail, max_gap)
    if answers is None:
        raise AssertionError("a model reads features that its own history lacks")
    number, champion = candidate.champion or (None, None)
    rival = (champion, store.cohort_network(champion.header.shared)) if champion else None
    values = training_set.history.values[:, 0]
    change = change_of(values, training_set.tail, min(training_set.seasons, default=None))
    since = max(training_set.tail, change.over) if change else training_set.tail
    comparison = evaluate_candidates(training_set.history, training_set.tail, answers, rival, model, max_gap, since)
    decision = judge(comparison, number)
    errors = comparison.actual - comparison.answers[MODEL]
    habit = habit_of(values, since)
    judged = {
        "evidence": decision.evidence,
        "half_width": half_width(errors, settings.series.level),
        "largest_move": habit.largest,
        "known": limits(values),
    }
    # The model is judged, so the linear experts may now be fitted on the tail too: they cannot memorise it. A tail that
    # differs from all readings before is not used: experts fitted to a broken sensor would go unjudged.
    panel = (
        training_set.panel
        if habit.broken
        else fit_panel(parted(training_set.grid, change), training_set.seasons, len(training_set.grid))
    )
    believed = training_set.history.believed[since:]
    errors = first_errors(answers[since - training_set.tail :][believed], values[since:][believed], habit)
    panel = replace(panel, errors=errors)
    model = Model(header.model_copy(update=judged), model.weights, panel)
    number = store.publish(model, promote=decision.promote)
    status: Status = (
        "trained" if decision.promote else "kept the champion" if CHAMPION in decision.evidence.scores else "refused"
    )
    reasons = (decision.evidence.verdict, training_set.without_network, _left_out(training_set.history))
    return Verdict(series, status, "; ".join(filter(None, reasons)), number, decision.evidence)


def _left_out(history: History) -> str | None:
    count = len(history.left_out)
    return f"{count} of {len(history)} readings were left out as gross errors" if count else None


def _finite(fitted: Fit) -> bool:
    return bool(np.isfinite([*fitted.loss, *fitted.val_loss, *(w.sum() for w in fitted.weights.values())]).all())


def _header(
    candidate: Candidate, fitted: Fit | None, cohort: str | None, settings: Settings, created_ms: int
) -> Header:
    training_set = candidate.training_set
    learned = {
        "examples": len(training_set.learn),
        "validation_examples": len(training_set.stop),
        "best_epoch": fitted.best_epoch if fitted else 0,
    }
    return Header(
        series=training_set.history.series,
        spec=training_set.spec,
        step_ms=training_set.step_ms,
        gridded=training_set.gridded,
        seasons=training_set.seasons,
        calendar=training_set.calendar,
        network=fitted is not None,
        shared=cohort,
        change_scale=training_set.change_scale,
        center=tuple(training_set.scaler.center.tolist()),
        scale=tuple(training_set.scaler.scale.tolist()),
        level=settings.series.level,
        half_width=0.0,
        span=(int(training_set.history.ts[0]), int(training_set.history.ts[-1])),
        judged=(int(training_set.history.ts[training_set.tail]), int(training_set.history.ts[-1])),
        evidence=PENDING,
        training={**settings.train.model_dump(), **learned, RUN: candidate.digest},
        curves={"loss": fitted.loss, "val_loss": fitted.val_loss} if fitted else {},
        libraries=dict(_libraries()),
        created_ms=created_ms,
        parent=candidate.parent and candidate.parent[0],
    )


def _champion(store: ModelStore, series: str) -> tuple[int, Model] | None:
    if store.champion(series) is None:
        return None
    try:
        return store.load(series)
    except ModelError:
        return None  # no worker can load it either, so a candidate only has to beat the last value


def _libraries() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue  # TensorFlow is installed under one of two names
