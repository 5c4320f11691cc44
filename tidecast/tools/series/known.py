"""The values known ahead that belong to one series: copied with its new name, or deleted with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from redis import Redis

from tidecast.connection.partitions import newest_entries
from tidecast.errors import BadReading, StoreError
from tidecast.settings import Settings
from tidecast.wire import Fields, id_pair
from tidecast.wire.known import known_keys, parse_known

AT_ONCE = 1000  # entries that one command writes or deletes

Entry = tuple[bytes, Fields]
T = TypeVar("T")


class KnownEntries:
    """The entries of the stream `known` that name a series; those of patterns stay, as other series may use them.

    Args:
        redis: the server or cluster.
        settings: the namespace, and how many entries the stream keeps.
        series: the series; only the entries that exist now belong to it.
    """

    def __init__(self, redis: Redis, settings: Settings, series: str) -> None:
        self._redis = redis
        self._settings = settings
        self._key = known_keys(settings.namespace)[0]
        name = series.encode()
        every = newest_entries(redis, self._key, redis.xlen(self._key))
        own: list[Entry] = [(entry_id, fields) for entry_id, fields in every if fields.get(b"series") == name]
        self._entries = own[::-1]

    @contextmanager
    def copied(self, new: str | None) -> Iterator[None]:
        """Append copies with a new name, if there is one; delete them if the block is refused with a StoreError."""
        copies = self._copies(new) if new else []
        try:
            yield
        except StoreError:
            self._delete(copies)
            raise

    def delete(self) -> None:
        """Delete the entries."""
        self._delete([entry_id for entry_id, _ in self._entries])

    def _copies(self, new: str) -> list[bytes]:
        """Append copies, which are known since the same moments; return their ids."""
        ids: list[bytes] = []
        copies = [copy for entry in self._entries if (copy := self._copy(entry, new))]
        for part in _parts(copies):
            with self._redis.pipeline(transaction=False) as pipeline:
                for fields in part:
                    pipeline.xadd(self._key, cast("Any", fields), maxlen=self._settings.known.kept)
                ids += pipeline.execute()
        return ids

    def _delete(self, ids: Sequence[bytes]) -> None:
        for part in _parts(ids):
            self._redis.xdel(self._key, *part)

    def _copy(self, entry: Entry, new: str) -> Fields | None:
        """Return the fields of a copy; None if workers reject the entry."""
        entry_id, fields = entry
        try:
            known = parse_known(fields, self._settings.series.max_entry_bytes)
        except BadReading:
            return None
        arrived = id_pair(entry_id)[0]
        moment = {b"known_at": b"%d" % arrived} if known.known_at is None and arrived < known.ts else {}
        return {**fields, b"series": new.encode(), **moment}


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
