"""List the series of an installation, and describe what belongs to one."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.known_series import answered_series
from tidecast.connection.partitions import at_present, server_ms
from tidecast.connection.records.mutes import read_mutes
from tidecast.errors import StateError, StoreError
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.settings.patterns import matches
from tidecast.suggestions import did_you_mean
from tidecast.wire import Keys, layout_of
from tidecast.wire.state_format import bin_field_names, field_names
from tidecast.wire.state_head import StateHead

HEADS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series in the list.

    Attributes:
        series: its name.
        partition: its partition.
        readings: how many were answered, without gross errors; None without a state.
        newest_ms: the time of its newest reading, epoch milliseconds; None without a state.
        champion: the version of its model that answers; None without one.
        unit: of its values, by the setting `series.units`.
        fault: why its state or its model's pointer cannot be read, with the remedy; None if they can.
    """

    series: str
    partition: int
    readings: int | None
    newest_ms: int | None
    champion: int | None
    unit: str
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def list_series(settings: Settings, pattern: str = "*") -> list[SeriesRow]:
    """Return all series that have a state or a model, sorted by name.

    Args:
        settings: of the installation.
        pattern: of the names, or a name.

    Raises:
        SettingsError: Redis stores no valid number of partitions.
    """
    store = ModelStore(settings.store)
    with connect(settings) as redis:
        settings = at_present(redis, settings)
        names = sorted({*answered_series(redis, settings), *store.series()})
        chosen = [name for name in names if matches(name, pattern)]
        heads = dict(_heads(redis, settings, chosen))
    return [_row(name, heads.get(name), store, settings) for name in chosen]


def describe_series(settings: Settings, series: str) -> dict[str, Any]:
    """Return what belongs to a series in Redis and in the store, by name, as JSON types.

    Raises:
        StoreError: the series does not exist.
    """
    store = ModelStore(settings.store)
    with connect(settings) as redis:
        settings = at_present(redis, settings)
        keys = _keys(settings, series)
        head = cast("bytes | None", redis.hget(keys.state, series))
        versions = store.versions(series)
        if head is None and not versions:
            names = sorted({*answered_series(redis, settings), *store.series()})
            remedy = did_you_mean(series, names) if names else "push a reading of it first"
            raise StoreError(f"series {series!r} does not exist: {remedy}")
        row = _row(series, head, store, settings)
        stored = cast("list[bytes | None]", redis.hmget(keys.state, _fields(series, head)))
        return row.as_dict() | {
            "versions": versions,
            "former_names": store.former_names(series),
            "muted": series in read_mutes(redis, keys, server_ms(redis)),
            "state_key": keys.state,
            "state_bytes": sum(len(raw) for raw in stored if raw),
            "store_folder": str(store.folder(series)) if versions else None,
        }


def _row(series: str, head: bytes | None, store: ModelStore, settings: Settings) -> SeriesRow:
    """Return a series' row; what cannot be read is left out, and named in its fault."""
    faults = []
    readings = newest_ms = champion = None
    try:
        if head is not None:
            state = StateHead.decode(head)
            readings = state.readings
            newest_ms = int(state.window.last_ts)
    except StateError as exc:
        faults.append(str(exc))
    try:
        champion = store.champion(series)
    except StoreError as exc:
        faults.append(str(exc))
    partition = layout_of(settings).partition_of(series)
    unit = settings.series.unit_of(series)
    return SeriesRow(series, partition, readings, newest_ms, champion, unit, "; ".join(faults) or None)


def _fields(series: str, head: bytes | None) -> list[str]:
    """Return the names of the fields with the state of a series; of a state that cannot be read only some."""
    try:
        rows = int(StateHead.decode(head).window.capacity) if head else 0
    except StateError:
        rows = 0
    return [*(field_names(series, rows) if head else []), *bin_field_names(series)]


def _heads(redis: Redis, settings: Settings, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the heads of the states of series, those without a state left out."""
    by_partition: dict[str, list[str]] = {}
    for name in names:
        by_partition.setdefault(_keys(settings, name).state, []).append(name)
    for key, mine in by_partition.items():
        for first in range(0, len(mine), HEADS_AT_ONCE):
            some = mine[first : first + HEADS_AT_ONCE]
            heads = cast("list[bytes | None]", redis.hmget(key, some))
            yield from ((name, head) for name, head in zip(some, heads, strict=True) if head is not None)


def _keys(settings: Settings, series: str) -> Keys:
    return layout_of(settings).keys_for(series)
