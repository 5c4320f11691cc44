"""The first steps of the pipeline: screen a series, and prepare it for training."""

from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from tidecast.errors import ModelError
from tidecast.files.history import History
from tidecast.models.model import Header, Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from trainer.data.gross_errors import without_gross_errors
from trainer.evaluation.gate import MIN_ROWS
from trainer.fingerprint import run_digest, trained_before
from trainer.fit.training_set import TrainingSet, Untrainable, prepare, split
from trainer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Screened:
    """A series that is to be trained."""

    history: History  # without gross errors
    spec: Spec  # with the target and the features of the history
    digest: str  # identifies the run


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series in the pipeline, and the champion that its new model must beat."""

    training_set: TrainingSet
    digest: str  # identifies the run
    champion: tuple[int, Model] | None
    champion_was: int | None = None  # the number in the store's pointer then, also of a version that cannot be loaded

    @property
    def series(self) -> str:
        """Return the series' name."""
        return self.training_set.history.series

    @property
    def parent(self) -> tuple[int, Model] | None:
        """Return the champion if training may start from its weights (a warm start).

        They must fit the spec, and must not have learned from the tail: its tail may not begin later.
        """
        if self.champion is None:
            return None
        header = self.champion[1].header
        tail_ts = self.training_set.history.ts[self.training_set.tail]
        may_start = header.network and header.spec == self.training_set.spec and header.judged[0] <= tail_ts
        return self.champion if may_start else None


def screened(
    history: History, spec: Spec, settings: Settings, store: ModelStore, season: int | None, *, force: bool
) -> Screened | Verdict:
    """Return a series that is to be trained, or the verdict that explains why it is not."""
    history = without_gross_errors(history)
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
    champion = None if force else _champion(store, history.series)
    if champion and _knows_the_tail(champion[1].header, history, settings):
        reason = f"version {champion[0]} was trained on readings as new as this history's last: bring newer ones"
        return Verdict(history.series, "kept the champion", reason, champion[0])
    return Screened(history, spec, digest)


def candidate_of(series: Screened, settings: Settings, store: ModelStore, season: int | None) -> Candidate | Verdict:
    """Prepare a series for training, or return the verdict that explains why it cannot be trained."""
    champion_was = store.champion(series.history.series)
    champion = _champion(store, series.history.series)
    header = champion and champion[1].header
    training_set = prepare(series.history, series.spec, settings.train, settings.series.max_gap, season, header)
    if isinstance(training_set, Untrainable):
        return Verdict(series.history.series, training_set.cause, training_set.reason)
    return Candidate(training_set, series.digest, champion, champion_was)


def _knows_the_tail(champion: Header, history: History, settings: Settings) -> bool:
    """Return whether a champion was trained on readings of this tail, and was judged on another tail."""
    tail = min(split(len(history), settings.train)[1], len(history) - 1)
    same = champion.judged == (int(history.ts[tail]), int(history.ts[-1]))
    unseen = np.count_nonzero(history.judging & (history.ts > champion.span[1]))
    return bool(unseen < min(MIN_ROWS, len(history))) and not same


def _champion(store: ModelStore, series: str) -> tuple[int, Model] | None:
    if store.champion(series) is None:
        return None
    try:
        return store.load(series)
    except ModelError:
        return None  # no worker can load it either, so a candidate only has to beat the last value
