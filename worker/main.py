"""Run the worker as a process: check the settings, handle signals, wait for Redis."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import MovedError, RedisError

from tidecast import signals
from tidecast.connection import check_address, connect
from tidecast.connection.partitions import PresentSettings, at_present
from tidecast.connection.redis_errors import DATABASE, meaning_of_error
from tidecast.durations import duration_text
from tidecast.errors import SettingsError, Unavailable
from tidecast.listening import ListenAddress
from tidecast.log import begin_log
from tidecast.models.bucket.objects import Bucket
from tidecast.models.store import ModelStore
from tidecast.schedule_choice import ScheduleChoice, choose_schedule
from tidecast.settings import Settings, with_worker_name, worker_name
from tidecast.wire import layout_of
from worker.acl import explain
from worker.backoff import LONGEST_S, SHORTEST_S
from worker.bucket_copier import BucketCopier
from worker.compiling import warm
from worker.known_stream import KnownStream
from worker.layout.layouts import Layouts, Parts
from worker.layout.repartition import Repartitioner
from worker.log_limiter import LogLimiter
from worker.loop import Worker
from worker.membership import Membership, claim_layout
from worker.metrics import Health
from worker.redis_failures import meaning_of
from worker.retraining.child import COMMAND, check_installed
from worker.retraining.late_schedule import LateSchedule
from worker.stop import Stop, stop_on_signals

if TYPE_CHECKING:
    from worker.retraining.scheduler import Schedule
    from worker.retraining.triggers import Timing

LOOK_S = 1.0  # how often the main thread looks whether the schedule fails; a signal ends the wait

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
        server = health.serve(place)
        log.info("health served", port=server.port)
    _warm(health, settings.series.horizon)
    stop = stop_on_signals()
    worker = _begin(settings, health, stop)
    if worker:
        with _copied(settings, health), _scheduled(settings, worker, health, stop) if not burst else nullcontext():
            worker.run(stop, burst=burst)


def run_schedule(settings: Settings, command: Sequence[str] = COMMAND, health_port: int | None = None) -> None:
    """Retrain all partitions on schedule, without answering readings, until a signal as for `run`.

    Args:
        settings: where Redis and the store are, and when to retrain.
        command: the command that starts the child.
        health_port: the port of the metrics and the probes; 0 picks a free port.

    Raises:
        SettingsError: the settings contain no schedule, or one that cannot run here.
    """
    from worker.retraining.scheduler import Schedule

    check_address(settings)
    choice = choose_schedule(settings)
    timing = _timing_of(choice)
    if timing is None:
        raise SettingsError(f"there is no schedule to run: {choice.why_off}; {choice.remedy}")
    check_installed()
    # Not the name of a worker with the same settings: a worker of this name would take over our runs at once.
    owner = f"{worker_name(settings)}:daemon"
    begin_log(settings.log_level, settings.log_format, worker=owner)
    stop = stop_on_signals()
    health = Health()
    if health_port is not None:
        server = health.serve(
            ListenAddress(settings.worker.health_host, health_port, "worker.health_host", "--health-port")
        )
        log.info("health served", port=server.port)
    if not _reached(settings, health, stop):
        return
    present = PresentSettings(settings)
    with Schedule(
        present, timing, lambda: range(present().partitions), owner, health, asked_to_stop=stop.is_set, command=command
    ) as schedule:
        while not stop.is_set():
            health.show_ready(ready=not schedule.failing, failing=schedule.failing)
            stop.wait(LOOK_S)
    log.info("schedule stopped")


def _reached(settings: Settings, health: Health, stop: Stop) -> bool:
    """Wait for Redis; return False if stopped before.

    Raises:
        SettingsError: Redis stores no valid layout, or waiting cannot help.
    """
    pause_s = SHORTEST_S
    limiter = LogLimiter()
    while not stop.is_set():
        try:
            with connect(settings) as redis:
                at_present(redis, settings)
        except RedisError as exc:
            _refuse_for_good(exc)
            error = explain(exc)
            _report_start(limiter, "redis", error, pause_s)
            health.show_ready(ready=False, failing=error)
            stop.wait(pause_s)
            pause_s = min(LONGEST_S, 2 * pause_s)
        else:
            return True
    return False


def _scheduled(settings: Settings, worker: Worker, health: Health, stop: Stop) -> AbstractContextManager[object]:
    """Return the retraining schedule, if there is one; it starts once the worker is ready."""
    choice = choose_schedule(settings)
    if not choice.on:
        log.info("schedule off", reason=choice.why_off, remedy=choice.remedy)
        return nullcontext()

    def make() -> "Schedule":
        from worker.retraining.scheduler import Schedule  # imports APScheduler, which costs memory and time

        timing = _timing_of(choice)
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


def _timing_of(choice: ScheduleChoice) -> "Timing | None":
    """Return when the runs of a schedule are due; None without a schedule."""
    from worker.retraining.triggers import timing_of

    timing = timing_of(choice.retrain) if choice.on else None
    return replace(timing, yields=True) if timing and choice.by_default else timing


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


def _begin(settings: Settings, health: Health, stop: Stop) -> Worker | None:
    """Return a worker once Redis answers, accepts writes and grants the needed rights; None if stopped before.

    Raises:
        SettingsError: the settings do not fit this Redis.
    """
    pause_s = SHORTEST_S
    limiter = LogLimiter()
    while not stop.is_set():
        try:
            return make_worker(settings, health)
        except RedisError as exc:
            _refuse_for_good(exc)
            meaning = meaning_of(exc)
            kind = "refused" if isinstance(meaning, Unavailable) else "redis"
            error = explain(exc) if meaning is exc else str(meaning)
            _report_start(limiter, kind, error, pause_s)
            health.failed(kind)
            health.show_ready(ready=False, failing=error)
            stop.wait(pause_s)
            pause_s = min(LONGEST_S, 2 * pause_s)
    return None


def _refuse_for_good(exc: RedisError) -> None:
    """Raise a SettingsError if waiting cannot help.

    Raises:
        SettingsError: `redis_url` names a server of a cluster, or a database that does not exist.
    """
    meaning = meaning_of_error(exc)
    if isinstance(exc, MovedError) or (meaning and meaning.check == DATABASE.check):
        raise SettingsError(explain(exc)) from exc


def _report_start(limiter: LogLimiter, kind: str, error: str, pause_s: float) -> None:
    """Log why the start failed: at once, then less and less often while the failure lasts."""
    if times := limiter.count(f"{kind} {error}"):
        log.error("start failed", kind=kind, error=error, pause_s=pause_s, times=times)


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
