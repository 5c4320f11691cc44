"""The last step of the pipeline: complete a trained model, and judge it on the tail."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.experts import LINEAR, LinearExperts
from tidecast.models.gross_errors import FEWEST_ROWS, limits
from tidecast.models.known.inputs import KnownInputs
from tidecast.models.model import Header, Model, NewestRows
from tidecast.models.own_model import OwnModel
from tidecast.models.store import ModelStore
from tidecast.online.offline import learn_history
from tidecast.settings import Settings
from trainer.candidate import Candidate
from trainer.evaluation.answers import expert_answers, grid_of, newest_rows
from trainer.evaluation.changepoint import parted
from trainer.evaluation.first_records import first_errors, half_width
from trainer.evaluation.gate import CHAMPION, MODEL, ChampionContestant, GateDecision, Tail, evaluate_candidates, judge
from trainer.evaluation.moves import MoveStats, move_stats
from trainer.fingerprint import RUN
from trainer.fit.cross_validation import cross_validate
from trainer.fit.linear import fit_panel
from trainer.fit.own_expert import OwnExpertError, fit_own, report_left_out
from trainer.fit.own_networks import Fit
from trainer.fit.training_set import TrainingSet
from trainer.shared_networks import SharedNetwork
from trainer.verdict import PENDING, Status, Verdict

SHORT = 500  # rows: the linear experts of a shorter history begin with the errors of a cross-validation
LIBRARIES = ("tidecast", "numpy", "keras", "tensorflow", "tensorflow-cpu")  # a version may depend on these
DIVERGED = "its training diverged: lower the learning rate, or choose the target transform `change`"


class Judged(NamedTuple):
    """A model that can be published, and the verdict on it, which lacks the version's number."""

    verdict: Verdict
    model: Model | None = None  # None: it diverged
    promote: bool = False


def judged(
    candidate: Candidate,
    fitted: Fit | None,
    shared: SharedNetwork | None,
    settings: Settings,
    store: ModelStore,
    created_ms: int,
) -> Judged:
    """Complete a trained model and judge it on the tail.

    Args:
        candidate: the series.
        fitted: its own network; None: the history is too short for one.
        shared: the network of its cohort.
        settings: the level of the interval, and the gaps that are filled.
        store: of the models, for the champion's shared network.
        created_ms: epoch milliseconds.
    """
    training_set = candidate.training_set
    if fitted and not _is_finite(fitted):
        return Judged(Verdict(candidate.series, "refused", DIVERGED))
    header = _header(candidate, fitted, shared, settings, created_ms)
    own, without_own = _own_expert(training_set, settings)
    model = Model(header, fitted.weights if fitted else {}, training_set.panel, own=own)
    answers = expert_answers(model, shared and shared.model, training_set.grid, training_set.tail, settings.experts)
    tail = Tail(training_set.history, training_set.tail, training_set.since)
    season = training_set.seasons[0] if training_set.seasons else None
    comparison = evaluate_candidates(
        tail, answers, season, _champion(candidate, settings, store), settings.series.bounds
    )
    decision = judge(comparison, candidate.champion and candidate.champion[0])
    moves = move_stats(tail.y, tail.since)
    figures = {
        "evidence": decision.evidence,
        "half_width": half_width(comparison.actual - comparison.answers[MODEL], settings.series.level),
        "largest_move": moves.largest,
        "known": limits(tail.y),
    }
    most_rows = model.rows_with(shared and shared.model)
    learned = learn_history(training_set.grid, training_set.seasons, training_set.step_ms, most_rows)
    with_care = moves.broken and CHAMPION not in decision.evidence.scores
    completed = Model(
        header.model_copy(update=figures),
        model.weights,
        _panel(training_set, tail, answers, moves, with_care=with_care),
        # The first rows are never doubted, so the file holds a few more than its experts read.
        NewestRows.of(training_set.grid, len(training_set.spec.features), most_rows + int(FEWEST_ROWS)),
        learned.online,
        _refitted(own, training_set, moves, settings.train.seed),
        learned.profiles,
    )
    return Judged(_verdict(training_set, decision, without_own), completed, decision.promote)


def _own_expert(training_set: TrainingSet, settings: Settings) -> tuple[OwnModel | None, str | None]:
    """Fit the user's own expert of a series, if there is one; also return why it is left out."""
    source = settings.experts.source_of(training_set.history.series)
    if source is None:
        return None, None
    try:
        return fit_own(source, training_set.grid, training_set.rows_before_tail, settings.train.seed), None
    except OwnExpertError as exc:
        report_left_out(training_set.history.series, str(exc))
        return None, str(exc)


def _refitted(own: OwnModel | None, training_set: TrainingSet, moves: MoveStats, seed: int) -> OwnModel | None:
    """Return an own expert fitted on the tail too, as the linear experts are."""
    if own is None or moves.broken:
        return own
    try:
        return fit_own(own.source, training_set.grid, len(training_set.grid), seed)
    except OwnExpertError:
        return own


def _champion(candidate: Candidate, settings: Settings, store: ModelStore) -> ChampionContestant | None:
    """Return the series' champion as a contestant, whose answers are computed only if they are needed."""
    if candidate.champion is None:
        return None
    model = candidate.champion[1]
    training_set = candidate.training_set

    def answers() -> Float | None:
        grid = training_set.grid
        header = model.header
        mine = training_set.step_ms, training_set.gridded, training_set.spec.features, training_set.known.inputs
        if mine != (header.step_ms, header.gridded, header.spec.features, KnownInputs.of(header)):
            other = grid_of(model, training_set.history, settings.series.max_gap)
            if other is None:
                return None
            grid = other
        return expert_answers(model, store.cohort_network(header.shared), grid, training_set.tail, settings.experts)

    return ChampionContestant(model.header, answers)


def _panel(
    training_set: TrainingSet, tail: Tail, answers: Float, moves: MoveStats, *, with_care: bool
) -> LinearExperts:
    """Return the linear experts to publish, with the errors that the records of all experts begin with."""
    published = _as_published(training_set, moves, answers)
    return replace(_panel_on_all(training_set, moves), errors=_errors(tail, published, moves, with_care=with_care))


def _panel_on_all(training_set: TrainingSet, moves: MoveStats) -> LinearExperts:
    """Return the linear experts, fitted on the tail too now that the model is judged: they cannot memorise it.

    A tail that differs from all readings before is not used: experts fitted to a broken sensor would go unjudged.
    """
    if moves.broken:
        return training_set.panel
    grid = parted(training_set.grid, training_set.change)
    return fit_panel(grid, training_set.seasons, len(grid), training_set.known.terms)


def _as_published(training_set: TrainingSet, moves: MoveStats, answers: Float) -> Float:
    """Return the experts' answers on the tail; for a short history those of its linear experts are cross-validated.

    The published experts are fitted to the tail too. Without it a short history has too few rows for its many terms, so
    the linear experts would begin with records far worse than they are.
    """
    if moves.broken or len(training_set.grid) >= SHORT:
        return answers
    rows = newest_rows(training_set.grid, training_set.tail) + 1
    grid = parted(training_set.grid, training_set.change)
    linear = cross_validate(grid, training_set.seasons, rows, training_set.known.terms)
    return np.column_stack([answers[:, : LINEAR.start], linear, answers[:, LINEAR.stop :]])


def _errors(tail: Tail, answers: Float, moves: MoveStats, *, with_care: bool) -> Float:
    judging = tail.history.judging[tail.since :]
    return first_errors(
        answers[tail.since - tail.start :][judging], tail.y[tail.since :][judging], moves.move, with_care=with_care
    )


def _verdict(training_set: TrainingSet, decision: GateDecision, without_own: str | None) -> Verdict:
    kept: Status = "kept the champion" if CHAMPION in decision.evidence.scores else "refused"
    status: Status = "trained" if decision.promote else kept
    history = training_set.history
    known = training_set.known.reason if history.known else None
    reasons = (decision.evidence.verdict, training_set.without_network, without_own, known, _left_out(history))
    return Verdict(history.series, status, "; ".join(filter(None, reasons)), evidence=decision.evidence)


def _left_out(history: History) -> str | None:
    count = len(history.left_out)
    return f"{count} of {len(history)} readings were left out as gross errors" if count else None


def _is_finite(fitted: Fit) -> bool:
    return bool(np.isfinite([*fitted.loss, *fitted.val_loss, *(w.sum() for w in fitted.weights.values())]).all())


def _header(
    candidate: Candidate,
    fitted: Fit | None,
    shared: SharedNetwork | None,
    settings: Settings,
    created_ms: int,
) -> Header:
    training_set = candidate.training_set
    learned = {
        "examples": training_set.sizes[0],
        "validation_examples": training_set.sizes[1],
        "best_epoch": fitted.best_epoch if fitted else 0,
    }
    return Header(
        series=candidate.series,
        spec=training_set.spec,
        step_ms=training_set.step_ms,
        gridded=training_set.gridded,
        seasons=training_set.seasons,
        calendar=training_set.calendar,
        special_days=training_set.known.inputs.special,
        network=fitted is not None,
        shared=shared and shared.cohort,
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


def _libraries() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue  # TensorFlow is installed under one of two names
