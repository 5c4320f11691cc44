"""Run the worker as a process: check the settings, handle signals, wait for Redis."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import structlog

from tidecast import signals
from tidecast.connection import check_address, connect
from tidecast.durations import duration_text
from tidecast.errors import SettingsError
from tidecast.listening import ListenAddress
from tidecast.log import begin_log
from tidecast.models.bucket.objects import Bucket
from tidecast.models.store import ModelStore
from tidecast.schedule_choice import choose_schedule
from tidecast.settings import Settings, with_worker_name
from tidecast.wire import layout_of
from worker.bucket_copier import BucketCopier
from worker.compiling import warm
from worker.failures.redis_wait import once_redis_answers
from worker.known_stream import KnownStream
from worker.layout.layouts import Layouts, Parts
from worker.layout.repartition import Repartitioner
from worker.loop import Worker
from worker.membership import Membership, claim_layout
from worker.metrics import Health
from worker.retraining.child import check_installed
from worker.retraining.late_schedule import LateSchedule
from worker.stop import Stop, stop_on_signals

if TYPE_CHECKING:
    from worker.retraining.scheduler import Schedule

log = structlog.get_logger("tidecast.worker")


def run(settings: Settings, *, burst: bool = False) -> None:
    """Run the worker until SIGTERM, SIGINT or SIGHUP; with `burst`, until every reading is answered.

    Raises:
        SettingsError: the settings request something that this worker does not support.
    """
    _check_settings(settings)
    signals.end_at_once(service=True)
    settings = with_worker_name(settings)
    begin_log(settings.log_level, settings.log_format, worker=settings.worker.name)
    health = Health()
    if settings.worker.health_port is not None:
        place = ListenAddress(
            settings.worker.health_host, settings.worker.health_port, "worker.health_host", "worker.health_port"
        )
        log.info("health served", port=health.serve(place).port)
    _warm(health, settings.series.horizon)
    stop = stop_on_signals()
    worker = once_redis_answers(lambda: make_worker(settings, health), health, stop)
    if worker:
        with _copied(settings, health), _scheduled(settings, worker, health, stop) if not burst else nullcontext():
            worker.run(stop, burst=burst)


def _scheduled(settings: Settings, worker: Worker, health: Health, stop: Stop) -> AbstractContextManager[object]:
    """Return the retraining schedule, if there is one; it starts once the worker is ready."""
    choice = choose_schedule(settings)
    if not choice.on:
        log.info("schedule off", reason=choice.why_off, remedy=choice.remedy)
        return nullcontext()

    def make() -> "Schedule":
        from worker.retraining.scheduler import Schedule  # imports APScheduler, which costs memory and time
        from worker.retraining.triggers import timing_chosen

        timing = timing_chosen(choice)
        assert timing is not None  # noqa: S101 - the schedule is on
        return Schedule(
            lambda: worker.settings,
            timing,
            worker.partitions_held,
            settings.worker.name,
            health,
            asked_to_stop=stop.is_set,
        )

    return LateSchedule(make, health.ready)


def _copied(settings: Settings, health: Health) -> AbstractContextManager[object]:
    """Return what copies models to and from the bucket of the settings, if there is one.

    Raises:
        SettingsError: the bucket's address cannot be used.
    """
    if not settings.bucket.url:
        return nullcontext()
    return BucketCopier(ModelStore(settings.store), settings.bucket.url, settings.bucket.every, health)


def _warm(health: Health, steps: int) -> None:
    """Load or compile the forecasting functions before a lease is taken: no reading must wait for this."""
    began = time.monotonic()

    def report_compiling() -> None:
        health.compiling.set()
        log.info("compiling, once on this machine")

    warm(report_compiling, steps)
    if health.compiling.is_set():
        health.compiling.clear()
        log.info("compiled", seconds=round(time.monotonic() - began, 1))


def make_worker(settings: Settings, health: Health) -> Worker:
    """Return a worker for the partitions of the layout in Redis; without one, the settings give it.

    Raises:
        SettingsError: Redis stores no valid layout.
    """
    redis = connect(settings)
    layout = claim_layout(redis, layout_of(settings))
    if layout.partitions != settings.partitions != layout.numbers[0]:
        log.warning(
            "setting partitions does not count, as Redis has a number",
            setting=settings.partitions,
            partitions=layout.partitions,
            remedy="change the number with `tidecast repartition`",
        )
    settings = with_worker_name(settings).with_partitions(layout.numbers)
    lease_s = settings.worker.lease
    membership = Membership(redis, layout, settings.worker.name, lease_s)
    layouts = Layouts(redis, membership, Repartitioner(redis, settings), lease_s)
    parts = Parts.make(redis, settings)
    store = ModelStore(settings.store)
    known = KnownStream(redis, settings, health)
    return Worker(settings, parts.streams, store, health, membership, parts.router, layouts, known)


def check(settings: Settings) -> int:
    """Check the settings and load every champion, as a dry run of `run`; return the number of champions.

    Raises:
        SettingsError: the settings request something that this worker does not support.
        ModelError: a champion's file is damaged.
    """
    _check_settings(settings)
    store = ModelStore(settings.store)
    served = store.served()
    for series in served:
        store.load(series)
    return len(served)


def _check_settings(settings: Settings) -> None:
    check_address(settings)
    block_s = settings.worker.block
    timeout_s = settings.redis_timeout
    if block_s > timeout_s / 2:  # a blocking read that Redis ends late must not look like a timeout
        raise SettingsError(
            f"setting worker.block is {duration_text(block_s)}: use at most half of redis_timeout, "
            f"{duration_text(timeout_s)}"
        )
    if settings.worker.wait_replicas and settings.redis_cluster:
        raise SettingsError(
            "setting worker.wait_replicas works with a single master, not with redis_cluster: set it to 0"
        )
    if settings.forecasts.merged and settings.redis_cluster:
        raise SettingsError(
            "setting forecasts.merged needs a single Redis: in a cluster read the stream of each partition"
        )
    if settings.bucket.url:
        Bucket(settings.bucket.url)
    if settings.retrain.asks_for_schedule:
        from worker.retraining.triggers import timing_of

        timing_of(settings.retrain)
        check_installed()
