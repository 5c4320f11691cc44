"""The trainer from top to bottom: histories in; versions in the store and a verdict on each series out."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np

from tidecast.errors import ModelError
from tidecast.model import Evidence, Header, Model, Spec
from tidecast.settings import Settings
from tidecast.store import ModelStore
from trainer.cohort import Fit, fit_cohort
from trainer.evaluate import CHAMPION, MIN_ROWS, MODEL, contest, half_width, judge
from trainer.history import History
from trainer.lesson import Lesson, Unfit, prepare
from trainer.resume import RUN, run_digest, trained_before
from trainer.season import season_length

CHUNK = 128  # series between two visits to the store: what an interruption may cost
LIBRARIES = ("tidecast", "numpy", "keras", "tensorflow", "tensorflow-cpu")  # of which a version may depend
PENDING = Evidence(rows=0, season=None, scores={}, skill=0.0, verdict="not judged yet")

Status = Literal[
    "trained", "kept the champion", "already trained", "too short", "constant", "irregular", "refused", "readable"
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one series."""

    series: str
    status: Status
    reason: str  # a sentence, with the figures if there are any
    version: int | None = None  # stored for it, promoted or not
    evidence: Evidence | None = None

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON takes it."""
        return {**asdict(self), "evidence": self.evidence and self.evidence.model_dump()}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series on its way through the pipeline, and the champion that its model has to beat."""

    lesson: Lesson
    season: int | None
    digest: str  # of the run
    champion: tuple[int, Model] | None

    @property
    def parent(self) -> tuple[int, Model] | None:
        """The champion, if its weights fit: training then goes on from them instead of starting anew."""
        return self.champion if self.champion and self.champion[1].spec == self.lesson.spec else None


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
) -> list[Verdict]:
    """Train a model for each history and publish it where it improves on what answers now.

    A series that cannot be trained does not stop the others. What was published stays if the run is interrupted,
    and the same call goes on from there. The verdicts come in the order of the histories.

    Args:
        histories: one for each series.
        spec: the network's shape; target and features are each history's own.
        settings: how to fit and judge (`train`); which gaps to fill and what level to cover (`series`).
        store: where champions come from and versions go to.
        season: the season length in rows; None: found from the data; 1: none.
        force: train again even what was trained with the same settings on the same readings.
        progress: told after every epoch and every chunk how many of the histories are done, those in training by
            the share of their epochs.
        now_ms: when the versions were made; None: now.
        fit: trains the prepared series of a chunk, as `fit_cohort` does.
    """
    tell = progress or (lambda _: None)
    created_ms = round(time.time() * 1000) if now_ms is None else now_ms
    verdicts: dict[str, Verdict] = {}
    for chunk in _chunks(histories):
        candidates = []
        for history in chunk:
            ready = _ready(history, spec, settings, store, season, force=force)
            if isinstance(ready, Candidate):
                candidates.append(ready)
            else:
                verdicts[history.series] = ready
        for candidate, fitted in zip(candidates, _fit(candidates, settings, fit, tell, len(verdicts)), strict=True):
            verdicts[candidate.lesson.history.series] = _publish(candidate, fitted, settings, store, created_ms)
        tell(len(verdicts))
    return [verdicts[history.series] for history in histories]


def _chunks(histories: Sequence[History]) -> Iterator[list[History]]:
    """Group histories that one cohort can train: of one width, and of similar lengths, which wastes least."""
    ordered = sorted(histories, key=lambda history: (len(history.features), len(history)))
    chunk: list[History] = []
    for history in ordered:
        if chunk and (len(chunk) == CHUNK or len(history.features) != len(chunk[0].features)):
            yield chunk
            chunk = []
        chunk.append(history)
    if chunk:
        yield chunk


def _ready(
    history: History, spec: Spec, settings: Settings, store: ModelStore, season: int | None, *, force: bool
) -> Candidate | Verdict:
    """Make a series ready to train, or say why it is not trained."""
    spec = Spec(**{**spec.model_dump(), "target": history.features[0], "features": history.features})
    digest = run_digest(history, spec, settings, season)
    if not force and (before := trained_before(store, history.series, digest)):
        number, header = before
        reason = f"kept version {number}, already trained on this history; {header.evidence.verdict}"
        return Verdict(history.series, "already trained", reason, number, header.evidence)
    champion = _champion(store, history.series)
    if not force and champion and champion[1].header.span[1] >= history.ts[-MIN_ROWS:][0]:
        reason = f"version {champion[0]} was trained on readings as new as this history's last: bring newer ones"
        return Verdict(history.series, "kept the champion", reason, champion[0])
    lesson = prepare(history, spec, settings.train, settings.series.max_gap)
    if isinstance(lesson, Unfit):
        return Verdict(history.series, lesson.cause, lesson.reason)
    return Candidate(lesson, _season(lesson, season), digest, champion)


def _fit(
    candidates: Sequence[Candidate],
    settings: Settings,
    fit: Callable[..., list[Fit]],
    tell: Callable[[float], None],
    done: int,
) -> list[Fit]:
    """Train a chunk's candidates together, from their champions' weights where they have some."""
    if not candidates:
        return []
    problems = [c.lesson.problem(c.parent and c.parent[1].weights) for c in candidates]

    def on_epoch(epoch: int, in_training: int) -> None:
        share = min(1.0, epoch / settings.train.epochs)
        tell(done + len(candidates) - in_training * (1 - share))

    return fit(problems, candidates[0].lesson.spec, settings.train, on_epoch=on_epoch)


def _publish(candidate: Candidate, fitted: Fit, settings: Settings, store: ModelStore, created_ms: int) -> Verdict:
    """Judge what was trained on the tail and store it; it answers from now on if the gate lets it through."""
    lesson, series, max_gap = candidate.lesson, candidate.lesson.history.series, settings.series.max_gap
    if not np.isfinite([*fitted.loss, *fitted.val_loss, *(w.sum() for w in fitted.weights.values())]).all():
        return Verdict(series, "refused", "its training diverged: lower the learning rate, or choose the form `change`")
    model = Model(_header(candidate, fitted, settings, created_ms), fitted.weights)
    number, champion = candidate.champion or (None, None)
    found = contest(lesson.history, lesson.tail, model, champion, candidate.season, max_gap)
    ruling = judge(found, number)
    errors = found.actual - found.answers[MODEL]
    judged = {"evidence": ruling.evidence, "half_width": half_width(errors, settings.series.level)}
    model = Model(model.header.model_copy(update=judged), model.weights)
    number = store.publish(model, promote=ruling.promote)
    status: Status = "trained" if ruling.promote else "kept the champion" if CHAMPION in found.answers else "refused"
    return Verdict(series, status, ruling.evidence.verdict, number, ruling.evidence)


def _header(candidate: Candidate, fitted: Fit, settings: Settings, created_ms: int) -> Header:
    lesson = candidate.lesson
    return Header(
        series=lesson.history.series,
        spec=lesson.spec,
        step_ms=lesson.step_ms,
        center=tuple(lesson.scaler.center.tolist()),
        scale=tuple(lesson.scaler.scale.tolist()),
        level=settings.series.level,
        half_width=0.0,
        span=(int(lesson.history.ts[0]), int(lesson.history.ts[lesson.tail - 1])),
        evidence=PENDING,
        training={
            **settings.train.model_dump(),
            "examples": len(lesson.learn),
            "validation_examples": len(lesson.stop),
            "best_epoch": fitted.best_epoch,
            RUN: candidate.digest,
        },
        curves={"loss": fitted.loss, "val_loss": fitted.val_loss},
        libraries=dict(_libraries()),
        created_ms=created_ms,
        parent=candidate.parent and candidate.parent[0],
    )


def _season(lesson: Lesson, given: int | None) -> int | None:
    if given is not None:
        return given if given > 1 else None
    seen = lesson.rows_before_tail
    return season_length(lesson.grid.values[:seen, 0], lesson.grid.segment[:seen])


def _champion(store: ModelStore, series: str) -> tuple[int, Model] | None:
    if store.champion(series) is None:
        return None
    try:
        return store.load(series)
    except ModelError:
        return None  # no worker can load it either: whoever beats the last value may take its place


def _libraries() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue  # TensorFlow has two names, of which a machine has one
