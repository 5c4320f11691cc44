"""Delete or rename a series: leave an order for its worker, and wait until it is carried out."""

import time
from dataclasses import dataclass

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.known_series import answered_series
from tidecast.connection.paging import committed, pages_of
from tidecast.connection.partitions import at_present, offset_of, owner_of, read_lag, server_ms
from tidecast.connection.records.manual_acts import user_and_host
from tidecast.connection.records.orders import Order, leave_order, order_of, orders_in, withdraw_order
from tidecast.errors import SettingsError, StoreError, TidecastError
from tidecast.models.bucket.mirror import copy_changes
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from tidecast.tools.series.known import KnownEntries
from tidecast.wire import Keys, layout_of
from tidecast.wire.parsing import series_of

LOOK_EVERY_S = 0.1
WITHOUT_WORKER_S = 10.0  # a worker that is being restarted takes its partition within this time
STAYS = "the order stays in Redis, and the same command waits for it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest:
    """A request to delete or rename a series.

    Attributes:
        series: the series.
        new: its new name; None: it is deleted.
        replacing: whether a series of the new name is deleted.
        purging: whether its entries with the present name are deleted from the streams and the archive.
    """

    series: str
    new: str | None = None
    replacing: bool = False
    purging: bool = False


def change_series(settings: Settings, request: SeriesRequest, timeout_s: float) -> str:
    """Delete or rename a series, and wait until its worker has done so; return `deleted`, `moved` or `none` for models.

    A repeated call completes an interrupted one.

    Args:
        settings: the settings of the installation.
        request: what to do.
        timeout_s: how long to wait for the worker.

    Raises:
        SettingsError: the new name is not valid, or belongs to another partition.
        StoreError: the series does not exist, or another series has the new name.
        TidecastError: no worker has carried out the order yet.
    """
    store = ModelStore(settings.store)
    with connect(settings) as redis:
        settings = at_present(redis, settings)
        keys = _keys_of(request.series, settings)
        target = _keys_of(request.new or request.series, settings)
        _check_name(request, settings)
        known = KnownEntries(redis, settings, request.series)
        models = bool(store.versions(request.series))
        exists = _exists(redis, keys, request.series, store)
        order = _waiting(redis, (keys, target), request, exists=exists)
        endings = _endings(store, request.series)
        begun = order is not None
        # An earlier call was interrupted, or only entries are left.
        again = not begun and not exists and _is_ended(request, endings)
        if again and not request.purging:
            _delete_known(known, request)
            return "none" if request.new is None or not store.versions(request.new) else "moved"
        if not begun and not again:
            _check_series(redis, (keys, target), request, store, settings)
        with known.copied(None if again else request.new):
            order = order or leave_order(redis, keys, _order(request, again=again))
            for each in dict.fromkeys((keys, target)):
                _wait(redis, each, order, timeout_s)
        _delete_entries(redis, settings, request, known)
    unchanged = not (begun or order.again) and endings == _endings(store, request.series)
    _finish(settings, request, store, order, unchanged=unchanged)
    return "none" if not models else "deleted" if request.new is None else "moved"


def _finish(settings: Settings, request: SeriesRequest, store: ModelStore, order: Order, *, unchanged: bool) -> None:
    """Change the models where the worker has another store or may not write there, and purge the archive."""
    if store.versions(request.series) or (unchanged and store.root.exists()):
        _change_models(store, request)
    copy_changes(store, settings.bucket.url)
    if request.purging:
        _purge_archive(settings, request.series, order.after)


def _change_models(store: ModelStore, request: SeriesRequest) -> None:
    if request.new is None:
        store.delete(request.series)
    else:
        store.rename(request.series, request.new, replacing=request.replacing)


def _is_ended(request: SeriesRequest, endings: list[str | None]) -> bool:
    """Return whether the log of the store has the requested end of the name."""
    return bool(endings) if request.new is None and request.purging else endings[-1:] == [request.new]


def _delete_entries(redis: Redis, settings: Settings, request: SeriesRequest, known: KnownEntries) -> None:
    """Delete the entries with the former name that the worker of the series does not delete."""
    if request.purging:
        _purge_former(redis, settings, request.series.encode())
    _delete_known(known, request)


def _delete_known(known: KnownEntries, request: SeriesRequest) -> None:
    """Delete what was known ahead of the former name, unless the entries of a deleted series stay."""
    if request.new or request.purging:
        known.delete()


def _order(request: SeriesRequest, *, again: bool) -> Order:
    by = user_and_host()
    return Order(
        series=request.series,
        new=request.new,
        replacing=request.replacing,
        purging=request.purging,
        again=again,
        user=by["user"],
        host=by["host"],
    )


def _exists(redis: Redis, keys: Keys, series: str, store: ModelStore) -> bool:
    """Return whether a series has a state, a model or a mute."""
    return bool(redis.hexists(keys.state, series) or store.versions(series) or redis.hexists(keys.muted, series))


def _waiting(redis: Redis, both: tuple[Keys, Keys], request: SeriesRequest, *, exists: bool) -> Order | None:
    """Return the order of an earlier call; if only its entries are left to delete, the name may be in use again."""
    for keys in dict.fromkeys(both):
        for order in orders_in(redis, keys):
            begun = order.left is None or not exists
            if (order.series, order.new) == (request.series, request.new) and begun:
                return order
    return None


def _endings(store: ModelStore, series: str) -> list[str | None]:
    """Return the new name at each end of a name that the log of the store has recorded; None for a deletion."""
    return [ending.new for ending in store.endings() if ending.series == series]


def _purge_archive(settings: Settings, series: str, last: str) -> None:
    """Delete the readings of a series up to an entry id from the archive, if the settings name one."""
    folder = settings.retrain.history
    if folder is None or not folder.is_dir():
        return
    from trainer.data.archive import Archive

    layout = layout_of(settings)
    for part in layout.parts_of(layout.partition_of(series)):
        archive = Archive(folder, settings.namespace, part)
        with archive.unchanged(by_others=True):
            archive.purge(series.encode(), last.encode())


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
            "can move there: choose another name, or let the new series start again and delete the old one"
        )


def _keys_of(series: str, settings: Settings) -> Keys:
    return layout_of(settings).keys_for(series)


def _check_series(
    redis: Redis, both: tuple[Keys, Keys], request: SeriesRequest, store: ModelStore, settings: Settings
) -> None:
    """Check that the series exists, and that no other series has the new name; `both` are the keys of the names."""
    keys, target = both
    state = bool(redis.hexists(keys.state, request.series))
    models = bool(store.versions(request.series))
    if not _exists(redis, keys, request.series, store):
        known = sorted({*answered_series(redis, settings), *store.series()})
        remedy = did_you_mean(request.series, known) if known else "check --redis and --store"
        raise StoreError(f"series {request.series!r} does not exist: {remedy}")
    new = request.new
    if new is None or request.replacing:
        return
    if state and redis.hexists(target.state, new):
        raise StoreError(f"series {new!r} has answered readings already: delete it first, or add --replace")
    if models and store.versions(new):
        raise StoreError(f"the store has models of {new!r} already: delete that series first, or add --replace")


def _wait(redis: Redis, keys: Keys, order: Order, timeout_s: float) -> None:
    """Wait until an order is carried out.

    Raises:
        StoreError: the worker has refused it.
        TidecastError: no worker runs, or it takes too long.
    """
    ends_at = time.monotonic() + timeout_s
    held_at = time.monotonic()
    while left := order_of(redis, keys, order.id):
        if left.refused is not None:
            withdraw_order(redis, keys, order.id)
            raise StoreError(left.refused)
        if redis.hget(keys.offset, "closed"):
            raise TidecastError("the number of partitions changes: give the same command again")
        now = time.monotonic()
        if owner_of(redis, keys, server_ms(redis)):
            held_at = now
        elif now - held_at >= min(WITHOUT_WORKER_S, timeout_s):
            raise TidecastError(f"no worker holds {keys.readings}: start `tidecast worker`; {STAYS}")
        if now >= ends_at and left.left:
            key = left.left[0].key
            raise TidecastError(
                f"{left.series} is gone, but entries in {key} are left: a consumer group has not acknowledged them, or "
                f"the worker is not done; see `redis-cli XINFO GROUPS {key}`; {STAYS}"
            )
        if now >= ends_at:
            unread = read_lag(redis, keys, offset_of(redis, keys)).unread
            raise TidecastError(f"not done after {timeout_s:g} s, {unread or 'some'} readings wait before it: {STAYS}")
        time.sleep(LOOK_EVERY_S)


def _purge_former(redis: Redis, settings: Settings, name: bytes) -> None:
    """Delete the entries of a series from the streams of closed partitions, which no worker serves."""
    layout = layout_of(settings)
    for part in layout.parts_of(layout.partition_of(name.decode())):
        if part.generation == layout.generation:
            continue
        keys = part.keys
        answered = committed(redis, keys) or b"0-0"
        for key, field, last in (
            (keys.readings, b"series", answered),
            (keys.forecasts, b"series", b"+"),
            (keys.dead, b"original.series", b"+"),
        ):
            for page in pages_of(redis, key, b"-", last):
                if ids := [entry_id for entry_id, fields in page if _has(fields, field, name)]:
                    redis.xdel(key, *ids)


def _has(fields: list[bytes], field: bytes, value: bytes) -> bool:
    """Return whether a flat list of names and values has this pair."""
    return any(fields[i] == field and fields[i + 1] == value for i in range(0, len(fields), 2))
