"""Run `tidecast notify` as a process: check the settings, handle signals, and try again when Redis does not answer."""

import os
import time
from collections.abc import Callable
from secrets import token_hex

import structlog
from redis.exceptions import RedisError

from tidecast import signals
from tidecast.connection import check_address, connect
from tidecast.connection.partitions import PresentSettings
from tidecast.errors import SettingsError, StreamError, Unavailable
from tidecast.listening import ListenAddress
from tidecast.log import begin_log
from tidecast.settings import Settings, worker_name
from tidecast.suggestions import did_you_mean
from tidecast.wire import EVENTS, Event
from worker.failures.acl import explain
from worker.failures.backoff import Backoff
from worker.failures.log_limiter import LogLimiter
from worker.metrics import Health
from worker.notify.messages import body_of
from worker.notify.notifier import POLL_S, Notifier
from worker.notify.receiver import Receiver
from worker.notify.right import NotifyRight
from worker.stop import Stop, stop_on_signals

NICE = 10  # lower priority than the workers
TEST = "this is a test: `tidecast notify` reaches this address"

log = structlog.get_logger("tidecast.notify")


def run(settings: Settings, health_port: int | None = None) -> None:
    """Post events until SIGTERM, SIGINT or SIGHUP.

    Args:
        settings: where Redis is, and what to post where.
        health_port: the port of the metrics and the probes; 0 picks a free port.

    Raises:
        SettingsError: there is nowhere to post, a setting is invalid, or Redis stores no valid number of partitions.
    """
    receiver = receiver_of(settings)
    signals.end_at_once(service=True)
    owner = f"{worker_name(settings)}:notify:{token_hex(3)}"
    begin_log(settings.log_level, settings.log_format, worker=owner)
    os.nice(NICE)
    health = Health()
    if health_port is not None:
        place = ListenAddress(settings.worker.health_host, health_port, "worker.health_host", "--health-port")
        log.info("health served", port=health.serve(place).port)
    stop = stop_on_signals()
    receiver.asked_to_stop = stop.is_set

    def make() -> Notifier:
        redis = connect(settings)  # raises while a cluster does not answer
        present = PresentSettings(settings, redis)
        ttl_s = 3 * settings.notify.timeout + 2 * settings.redis_timeout + POLL_S  # one step takes less
        right = NotifyRight(redis, present, owner, ttl_s)
        return Notifier(redis, present, right, receiver, health.notify)

    _serve(make, Backoff(settings.worker.lease), health, stop)
    log.info("notifier stopped")


def post_test(settings: Settings) -> str:
    """Post one message now; return the address without its secrets.

    Raises:
        SettingsError: there is nowhere to post, or a setting is invalid.
        DeliveryError: the receiver did not take the message.
    """
    receiver = receiver_of(settings)
    now_ms = time.time_ns() // 1_000_000
    event = Event("level_changed", TEST, "test", id=f"{now_ms}-0")
    receiver.post(body_of(settings.notify.format, [event], settings.namespace, now_ms))
    return receiver.place


def receiver_of(settings: Settings) -> Receiver:
    """Return the receiver that the settings name.

    Raises:
        SettingsError: no address is set, a kind does not exist, or the settings on Redis contradict each other.
    """
    check_address(settings)
    for kind in settings.notify.kinds:
        if kind not in EVENTS:
            raise SettingsError(
                f"setting notify.kinds has {kind!r}, which does not exist: {did_you_mean(kind, EVENTS)}"
            )
    if not settings.notify.url.get_secret_value():
        raise SettingsError("setting notify.url is empty: set the address to which events are posted")
    return Receiver(settings.notify)


def _serve(make: Callable[[], Notifier], backoff: Backoff, health: Health, stop: Stop) -> None:
    """Let a notifier work until it is stopped; after a failure of Redis it begins again from its record."""
    limiter = LogLimiter()
    notifier: Notifier | None = None
    failures = 0
    while not stop.is_set():
        try:
            notifier = notifier or make()
            pause_s = notifier.step(time.time())
            health.show_ready(ready=True)
            failures = 0
        except (RedisError, Unavailable, StreamError, SettingsError) as exc:
            if notifier:
                notifier.failed(exc)
            elif isinstance(exc, SettingsError):
                raise
            failures += 1
            pause_s = backoff.pause_s(failures)
            error = explain(exc) if isinstance(exc, RedisError) else str(exc)
            health.show_ready(ready=False, failing=error)
            health.failed("redis" if isinstance(exc, RedisError) else "refused")
            if times := limiter.count(error):
                log.error("step failed", error=error, pause_s=round(pause_s, 3), times=times)
        stop.wait(pause_s)
    try:
        if notifier:
            notifier.leave()
    except (RedisError, Unavailable, StreamError) as exc:
        log.warning("right to notify not given back, it will run out", error=str(exc))
