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
from tidecast.connection.partitions import at_present
from tidecast.files.history import History
from tidecast.models.bucket.mirror import copy_changes
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event, Keys, layout_of
from trainer.pipeline import TrainOptions, train
from trainer.retrain.histories import StoredVersions, read_histories, stored_versions
from trainer.retrain.live_stats import drifts_since, live_errors
from trainer.retrain.priority import DueSeries, Facts, due_series
from trainer.retrain.refresh_shared import refresh_shared
from trainer.tuning.tune import tuned_or_default
from trainer.verdict import Verdict

FIRST, LARGEST = 16, 128  # series of the first chunk, small to measure the pace, and of the largest

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


def run(settings: Settings, request: RetrainRequest, clock: Callable[[], float] = time.monotonic) -> Summary:
    """Retrain the series that are due in one partition, the most valuable first, until the budget is spent.

    Published versions and written events stay if the run is ended at any point.

    Args:
        settings: all of them.
        request: the partition, and the series if not those that are due.
        clock: returns seconds.
    """
    began = clock()
    budget_s = settings.retrain.budget
    store = ModelStore(settings.store)
    copy_changes(store, settings.bucket.url)
    versions = stored_versions(store)
    histories, verdicts = read_histories(settings, request.partition, request.series, versions)
    with connect(settings) as redis:
        keys = layout_of(at_present(redis, settings)).keys(request.partition)
        order = _order(redis, keys, histories, versions, settings, request)
        _log.info("series due", series=len(order), readings=sum(map(len, histories.values())), seconds=clock() - began)
        write_events(redis, verdicts, settings)
        if order:
            refresh_shared(list(histories.values()), settings, store, budget_s - (clock() - began))

        def on_verdicts(new: Sequence[Verdict]) -> None:
            write_events(redis, new, settings)
            verdicts.extend(new)
            _log.info("series trained", series=len(verdicts), of=len(order), seconds=round(clock() - began, 1))

        options = TrainOptions(force=request.force, train_cohorts=False, on_verdicts=on_verdicts)
        due = [entry.series for entry in order]
        chunks = _paced(due, began + budget_s, clock)
        if settings.retrain.scheduler:
            # It gets all series at once, as only it knows how many of them its workers train at the same time.
            chunks = iter([due])
            options = replace(options, scheduler=settings.retrain.scheduler, until=began + budget_s)
        for chunk in chunks:
            _train([histories[series] for series in chunk], versions, settings, store, options)
    counts = Counter(verdict.group for verdict in verdicts)
    put_off = len(set(due) - {verdict.series for verdict in verdicts})
    return Summary(counts["trained"], counts["kept"], counts["refused"], put_off, round(clock() - began, 3))


def write_events(redis: Redis, verdicts: Sequence[Verdict], settings: Settings) -> None:
    """Write an event for each verdict; if Redis is unavailable, log a warning and go on."""
    try:
        layout = layout_of(at_present(redis, settings))
        with redis.pipeline(transaction=False) as pipeline:
            for verdict in verdicts:
                kind = "promoted" if verdict.status == "trained" else "refused"
                flat = Event(kind, verdict.reason, verdict.series, verdict.version).encode()
                most = settings.worker.events_kept
                events = layout.keys_for(verdict.series).events
                pipeline.execute_command("XADD", events, "MAXLEN", "~", most, "*", *flat)
            pipeline.execute()
    except RedisError as exc:
        _log.warning("events not written", error=str(exc), series=[verdict.series for verdict in verdicts])


def _order(
    redis: Redis,
    keys: Keys,
    histories: Mapping[str, History],
    versions: Mapping[str, StoredVersions],
    settings: Settings,
    request: RetrainRequest,
) -> list[DueSeries]:
    mine = {name: versions.get(name, StoredVersions()) for name in histories}
    made_ms = {name: stored.champion.created_ms for name, stored in mine.items() if stored.champion}
    champions = {name: stored.number for name, stored in mine.items() if stored.number is not None}
    drifts = drifts_since(redis, keys.events, made_ms)
    errors = live_errors(redis, keys.forecasts, champions)
    facts = [
        Facts(name, histories[name].ts, stored.champion, stored.newest, drifts[name], errors.get(name))
        for name, stored in mine.items()
    ]
    asked = set(request.series) or (set(histories) if request.force else None)
    return due_series(facts, settings.retrain, asked)


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
    histories: Sequence[History],
    versions: Mapping[str, StoredVersions],
    settings: Settings,
    store: ModelStore,
    options: TrainOptions,
) -> None:
    """Train a chunk: each series in its champion's shape, for a warm start; new series in the tuned or default one."""
    spec, tuned = tuned_or_default(settings)
    usual = _shape(spec)
    groups: dict[Spec, list[History]] = {}
    for history in histories:
        champion = versions.get(history.series, StoredVersions()).champion
        groups.setdefault(_shape(champion.spec) if champion else usual, []).append(history)
    for shape, group in groups.items():
        # The tuned learning rate is that of the tuned shape.
        train(group, shape, tuned if shape == usual else settings, store, options)


def _shape(spec: Spec) -> Spec:
    """Return the shape without target and features, which come from each history."""
    return Spec(**{**spec.model_dump(), "target": "value", "features": ("value",)})
