"""Delete or rename a series: leave an order for its worker, and wait until it is carried out."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.known_series import answered_series
from tidecast.connection.manual_acts import user_and_host
from tidecast.connection.orders import Order, leave_order, order_of, orders_in, withdraw_order
from tidecast.connection.paging import check_setup, committed, pages_of
from tidecast.connection.partitions import offset_of, owner_of, read_lag, server_ms
from tidecast.errors import SettingsError, StoreError, TidecastError
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from tidecast.wire import Keys, keys_of, partition_of
from tidecast.wire.parsing import series_of

LOOK_EVERY_S = 0.1
WITHOUT_WORKER_S = 10.0  # a worker that is being restarted takes its partition within this time
STAYS = "the order stays in Redis, and the same command waits for it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest:
    """What to do with a series.

    Attributes:
        series: the series.
        new: its new name; None: it is deleted.
        replacing: whether a series of the new name is deleted.
    """

    series: str
    new: str | None = None
    replacing: bool = False


def change_series(
    settings: Settings, request: SeriesRequest, patience_s: float, pause: Callable[[float], object] = time.sleep
) -> str:
    """Delete or rename a series, and wait until its worker has done so; return `deleted`, `moved` or `none` for models.

    A repeated call completes an interrupted one.

    Args:
        settings: the settings of the installation.
        request: what to do.
        patience_s: how long to wait for the worker.
        pause: waits for so many seconds.

    Raises:
        SettingsError: the new name is not valid, or belongs to another partition.
        StoreError: the series does not exist, or another series has the new name.
        TidecastError: no worker has carried out the order yet.
    """
    keys = _keys_of(request.series, settings)
    target = _keys_of(request.new or request.series, settings)
    _check_name(request, settings)
    store = ModelStore(settings.store)
    with connect(settings) as redis:
        check_setup(redis, settings)
        models = bool(store.versions(request.series))
        left = [*orders_in(redis, keys), *orders_in(redis, target)]
        waiting = [order for order in left if (order.series, order.new) == (request.series, request.new)]
        order = waiting[0] if waiting else None
        endings = _endings(store, request.series) if order is None else None
        if order is None:
            _check_series(redis, (keys, target), request, store, settings)
            order = leave_order(
                redis, keys, request.series, request.new, replacing=request.replacing, **user_and_host()
            )
        _wait(redis, keys, order, patience_s, pause)
        if target != keys:
            _wait(redis, target, order, patience_s, pause)
    # The worker has another store, or may not write there.
    if store.versions(request.series) or (store.root.exists() and endings == _endings(store, request.series)):
        if request.new is None:
            store.delete(request.series)
        else:
            store.rename(request.series, request.new, replacing=request.replacing)
    done = "deleted" if request.new is None else "moved"
    return done if models else "none"


def _endings(store: ModelStore, series: str) -> int:
    """Return how often the log of the store has recorded the end of a name."""
    return sum(ending.series == series for ending in store.endings())


def _check_name(request: SeriesRequest, settings: Settings) -> None:
    """Check that a reading may have the new name, and that the series can go to the partition of that name."""
    if request.new is None:
        return
    series_of({b"series": request.new.encode()})
    if request.new == request.series:
        raise SettingsError(f"{request.new!r} is the name already: give another one")
    if settings.redis_cluster and _keys_of(request.series, settings) != _keys_of(request.new, settings):
        raise SettingsError(
            f"{request.new!r} belongs to another partition than {request.series!r}, and in a Redis Cluster no state "
            "can move there: choose another name, or let the new series begin anew and delete the old one"
        )


def _keys_of(series: str, settings: Settings) -> Keys:
    return keys_of(partition_of(series, settings.partitions), settings.partitions, settings.namespace)


def _check_series(
    redis: Redis, both: tuple[Keys, Keys], request: SeriesRequest, store: ModelStore, settings: Settings
) -> None:
    """Check that the series exists, and that no other series has the new name; `both` are the keys of the names."""
    keys, target = both
    state = bool(redis.hexists(keys.state, request.series))
    models = bool(store.versions(request.series))
    if not (state or models or redis.hexists(keys.muted, request.series)):
        known = sorted({*answered_series(redis, settings), *store.series()})
        remedy = did_you_mean(request.series, known) if known else "check --redis and --store"
        raise StoreError(f"no series {request.series!r}: {remedy}")
    new = request.new
    if new is None or request.replacing:
        return
    if state and redis.hexists(target.state, new):
        raise StoreError(f"series {new!r} has answered readings already: delete it first, or add --replace")
    if models and store.versions(new):
        raise StoreError(f"the store has models of {new!r} already: delete that series first, or add --replace")


def _wait(redis: Redis, keys: Keys, order: Order, patience_s: float, pause: Callable[[float], object]) -> None:
    """Wait until an order is carried out.

    Raises:
        StoreError: the worker has refused it.
        TidecastError: no worker runs, or it takes too long.
    """
    ends_at = time.monotonic() + patience_s
    held_at = time.monotonic()
    while left := order_of(redis, keys, order.id):
        if left.refused is not None:
            withdraw_order(redis, keys, order.id)
            raise StoreError(left.refused)
        now = time.monotonic()
        if owner_of(redis, keys, server_ms(redis)):
            held_at = now
        elif now - held_at >= min(WITHOUT_WORKER_S, patience_s):
            raise TidecastError(f"no worker holds {keys.readings}: start `tidecast worker`; {STAYS}")
        if now >= ends_at:
            unread = read_lag(redis, keys, offset_of(redis, keys)).unread
            raise TidecastError(f"not done after {patience_s:g} s, {unread or 'some'} readings wait before it: {STAYS}")
        pause(LOOK_EVERY_S)


def purge_streams(settings: Settings, series: str) -> int:
    """Delete a series' answered readings, forecasts and dead letters from the streams; return their number.

    Its events stay, as a record. Unanswered readings stay, and readings in an archive.
    """
    keys = keys_of(partition_of(series, settings.partitions), settings.partitions, settings.namespace)
    name = series.encode()
    purged = 0
    with connect(settings) as redis:
        answered = committed(redis, keys) or b"0-0"
        for key, field, last in (
            (keys.readings, b"series", answered),
            (keys.forecasts, b"series", b"+"),
            (keys.dead, b"original.series", b"+"),
        ):
            for page in pages_of(redis, key, b"-", last):
                ids = [entry_id for entry_id, fields in page if _has(fields, field, name)]
                purged += int(redis.xdel(key, *ids)) if ids else 0
    return purged


def _has(fields: list[bytes], field: bytes, value: bytes) -> bool:
    """Return whether a flat list of names and values has this pair."""
    return any(fields[i] == field and fields[i + 1] == value for i in range(0, len(fields), 2))
