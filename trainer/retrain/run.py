"""A retraining run: trains the series that are due while the budget lasts, and writes an event for every verdict."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError

from tidecast.connection import connect
from tidecast.errors import ModelError
from tidecast.files.history import History
from tidecast.models.model import Header
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.moments import moment_ms
from tidecast.settings import Settings
from tidecast.wire import Event, Keys, keys_of
from trainer.data.recorded import read_recorded
from trainer.pipeline import TrainOptions, train
from trainer.retrain.live_stats import drifts_since, live_errors
from trainer.retrain.priority import Due, Facts, due
from trainer.retrain.refresh_shared import refresh_shared
from trainer.tuning.tune import read_tuned
from trainer.verdict import Verdict

FIRST, LARGEST = 16, 128  # series of the first chunk, small to measure the pace, and of the largest
LEARNED = {"trained": "trained", "kept the champion": "kept", "already trained": "kept"}  # all others: refused
LACKS = "its readings lack {} that its champion reads: send them as numbers, or train it by hand"

_log = structlog.get_logger("tidecast.retrain")


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """The request for a run; without series: those that are due."""

    partition: int
    series: tuple[str, ...] = ()
    force: bool = False  # also train series that were trained on the same readings; without series: all series


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of series by result."""

    trained: int  # promoted
    kept: int  # the champion was at least as good
    refused: int
    put_off: int  # the budget ran out before them
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as a dict that JSON can encode."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Known:
    """The headers of a series' champion and of its newest version."""

    champion: Header | None = None
    version: int | None = None  # the champion's
    newest: Header | None = None


def run(settings: Settings, job: RetrainRequest, clock: Callable[[], float] = time.monotonic) -> Summary:
    """Retrain the series that are due in one partition, the most valuable first, until the budget is spent.

    Published versions and written events stay if the run is ended at any point.

    Args:
        settings: all of them.
        job: the request.
        clock: returns seconds.
    """
    began = clock()
    budget_s = settings.retrain.budget
    store = ModelStore(settings.store)
    known = _known(store)
    histories, verdicts = _histories(settings, job, known)
    keys = keys_of(job.partition, settings.partitions, settings.namespace)
    with connect(settings) as redis:
        order = _order(redis, keys, histories, known, settings, job)
        _log.info("due", series=len(order), readings=sum(map(len, histories.values())), seconds=clock() - began)
        tell(redis, keys, verdicts, settings)
        if order:
            refresh_shared(list(histories.values()), settings, store, budget_s - (clock() - began))
        for chunk in _paced([entry.series for entry in order], began + budget_s, clock):
            chunk_verdicts = _train([histories[series] for series in chunk], known, settings, store, force=job.force)
            tell(redis, keys, chunk_verdicts, settings)
            verdicts += chunk_verdicts
            _log.info("trained", series=len(verdicts), of=len(order), seconds=round(clock() - began, 1))
    counts = Counter(LEARNED.get(verdict.status, "refused") for verdict in verdicts)
    put_off = len(order) - sum(verdict.series in {entry.series for entry in order} for verdict in verdicts)
    return Summary(counts["trained"], counts["kept"], counts["refused"], put_off, round(clock() - began, 3))


def tell(redis: Redis, keys: Keys, verdicts: Sequence[Verdict], settings: Settings) -> None:
    """Write an event for each verdict; if Redis is unavailable, log a warning and go on."""
    try:
        with redis.pipeline(transaction=False) as pipeline:
            for verdict in verdicts:
                kind = "promoted" if verdict.status == "trained" else "refused"
                flat = Event(kind, verdict.reason, verdict.series, verdict.version).encode()
                most = settings.worker.events_kept
                pipeline.execute_command("XADD", keys.events, "MAXLEN", "~", most, "*", *flat)
            pipeline.execute()
    except RedisError as exc:
        _log.warning("events not written", error=str(exc), series=[verdict.series for verdict in verdicts])


def _known(store: ModelStore) -> dict[str, Known]:
    """Return each series' champion and newest version; a version that cannot be read counts as missing."""

    def header(series: str, number: int | None) -> Header | None:
        try:
            return None if number is None else store.header(series, number)
        except ModelError as exc:
            _log.warning("version cannot be read", series=series, version=number, error=str(exc))
            return None

    by_series = {}
    for series in store.series():
        number = store.champion(series)
        newest = max(store.versions(series))
        champion = header(series, number)
        by_series[series] = Known(champion, number, champion if newest == number else header(series, newest))
    return by_series


def _histories(
    settings: Settings, job: RetrainRequest, known: Mapping[str, Known]
) -> tuple[dict[str, History], list[Verdict]]:
    """Return the histories of the partition's series with their champions' features, and verdicts for those without.

    Each target of the champions is read separately; usually there is only one.
    """
    champions = {series: versions.champion.spec for series, versions in known.items() if versions.champion}
    usual = settings.series.target
    targets = [usual, *sorted({spec.target for spec in champions.values()} - {usual})]
    histories: dict[str, History] = {}
    refused: list[Verdict] = []
    for target in targets:
        mine = {series for series, spec in champions.items() if spec.target == target}
        wide = any(len(champions[series].features) > 1 for series in mine)
        asked = job.series if target == usual else sorted(mine & set(job.series) if job.series else mine)
        if target != usual and not asked:
            continue
        retrain = settings.retrain
        read = read_recorded(
            settings,
            asked,
            moment_ms(retrain.since, time.time_ns() // 1_000_000, "retrain.since") if retrain.since else None,
            target=target,
            features=("all",) if wide else (),
            history=retrain.history,
            partitions=(job.partition,),
            pattern=retrain.pattern,
        )
        for history in read.found:
            spec = champions.get(history.series)
            if spec and spec.target != target:
                continue
            narrowed = _narrowed(history, spec.features if spec else (target,))
            if isinstance(narrowed, Verdict):
                refused.append(narrowed)
            else:
                histories[history.series] = narrowed
    return histories, refused


def _narrowed(history: History, features: tuple[str, ...]) -> History | Verdict:
    """Return the history with only these features, or a verdict if it lacks one."""
    lacking = [name for name in features if name not in history.features]
    if lacking:
        return Verdict(history.series, "refused", LACKS.format(", ".join(lacking)))
    columns = [history.features.index(name) for name in features]
    return replace(history, features=features, values=history.values[:, columns])


def _order(
    redis: Redis,
    keys: Keys,
    histories: Mapping[str, History],
    known: Mapping[str, Known],
    settings: Settings,
    job: RetrainRequest,
) -> list[Due]:
    mine = {series: known[series] for series in histories if series in known}
    made = {series: entry.champion.created_ms for series, entry in mine.items() if entry.champion}
    versions = {series: entry.version for series, entry in mine.items() if entry.version is not None}
    drifts = drifts_since(redis, keys.events, made)
    errors = live_errors(redis, keys.forecasts, versions)
    nothing = Known()
    facts = [
        Facts(name, h.ts, (k := mine.get(name, nothing)).champion, k.newest, drifts[name], errors.get(name))
        for name, h in histories.items()
    ]
    asked = set(job.series) or (set(histories) if job.force else None)
    return due(facts, settings.retrain, asked)


def _paced(series: Sequence[str], deadline: float, clock: Callable[[], float]) -> Iterator[list[str]]:
    """Yield chunks in order: a small one first, then as many series as the measured pace fits into the time left."""
    at = 0
    size = FIRST
    while at < len(series) and size > 0 and clock() < deadline:
        chunk = list(series[at : at + size])
        before = clock()
        yield chunk
        at += len(chunk)
        each_s = max((clock() - before) / len(chunk), 1e-6)
        size = min(LARGEST, int((deadline - clock()) / each_s))


def _train(
    histories: Sequence[History], known: Mapping[str, Known], settings: Settings, store: ModelStore, *, force: bool
) -> list[Verdict]:
    """Train a chunk: each series in its champion's shape, for a warm start; new series in the default shape."""
    tuned = read_tuned(settings.store)
    default = Spec()
    if tuned:
        default = tuned.chosen.spec
        training = settings.train.model_copy(update={"learning_rate": tuned.chosen.learning_rate})
        settings = settings.model_copy(update={"train": training})
    groups: dict[Spec, list[History]] = {}
    for history in histories:
        champion = known.get(history.series, Known()).champion
        groups.setdefault(_shape(champion.spec if champion else default), []).append(history)
    return [
        verdict
        for spec, group in groups.items()
        for verdict in train(group, spec, settings, store, TrainOptions(force=force, train_cohorts=False))
    ]


def _shape(spec: Spec) -> Spec:
    """Return the shape without target and features, which come from each history."""
    return Spec(**{**spec.model_dump(), "target": "value", "features": ("value",)})
