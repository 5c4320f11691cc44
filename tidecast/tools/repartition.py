"""Change the number of partitions: store the wanted number, and wait until a worker has carried it out."""

import time
from collections.abc import Callable

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.partitions import decode_layout, server_ms, workers
from tidecast.connection.records.manual_acts import user_and_host
from tidecast.connection.repartitions import Repartition, order_repartition, read_repartition
from tidecast.errors import SettingsError, TidecastError
from tidecast.settings import Settings
from tidecast.wire import Layout, common_keys

LOOK_EVERY_S = 0.1
MOST_PARTITIONS = 256
STAYS = "it goes on while a worker runs, and the same command waits for it again"


def repartition(
    settings: Settings, partitions: int, timeout_s: float, pause: Callable[[float], object] = time.sleep
) -> tuple[int, int]:
    """Change the number of partitions; return the former and the present one.

    A repeated call waits for the repartition that an interrupted one has begun.

    Args:
        settings: of the installation.
        partitions: the wanted number.
        timeout_s: how long to wait for the workers.
        pause: waits for so many seconds.

    Raises:
        SettingsError: the number is not possible, or no worker has ever run.
        TidecastError: no worker runs, another repartition is under way, or it takes too long.
    """
    if not 1 <= partitions <= MOST_PARTITIONS:
        raise SettingsError(f"--to is {partitions}: give a number from 1 to {MOST_PARTITIONS}")
    with connect(settings) as redis:
        layout = _layout(redis, settings.namespace)
        change = read_repartition(redis, settings.namespace)
        if change is None or change.generation <= layout.generation:
            if layout.partitions == partitions:
                return partitions, partitions
            change = _order(redis, layout, partitions)
        if change.partitions != partitions:
            raise TidecastError(
                f"a repartition to {change.partitions} is under way: wait for it with --to {change.partitions}"
            )
        _wait(redis, settings.namespace, change, timeout_s, pause)
        return change.former, change.partitions


def _layout(redis: Redis, namespace: str) -> Layout:
    key = common_keys(namespace)[0]
    stored = redis.get(key)
    if not isinstance(stored, bytes):
        raise SettingsError(f"Redis has no {key}, as no worker has run yet: set partitions in the settings")
    return decode_layout(key, stored, namespace)


def _order(redis: Redis, layout: Layout, partitions: int) -> Repartition:
    """Store the repartition, and return the one that is stored."""
    now_ms = server_ms(redis)
    if not workers(redis, layout.namespace, [], now_ms):
        raise TidecastError("no worker runs, and workers move the series: start `tidecast worker` first")
    change = Repartition(partitions, layout.partitions, layout.generation + 1, now_ms, **user_and_host())
    while not order_repartition(redis, layout.namespace, change):
        stored = read_repartition(redis, layout.namespace)
        if stored is not None:
            return stored
    return change


def _wait(
    redis: Redis, namespace: str, change: Repartition, timeout_s: float, pause: Callable[[float], object]
) -> None:
    """Wait until a repartition has ended.

    Raises:
        TidecastError: it takes too long.
    """
    ends_at = time.monotonic() + timeout_s
    while _layout(redis, namespace).generation < change.generation:
        if time.monotonic() >= ends_at:
            raise TidecastError(f"not done after {timeout_s:g} s: {STAYS}; `tidecast doctor` shows why it stands still")
        pause(LOOK_EVERY_S)
