"""Read batches of entries from one partition's stream, and compute the lag behind them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.connection.lag import Lag, Progress, lag_of, was_recreated
from tidecast.connection.portion import Portion, answers, shrinking
from tidecast.online.batch import Entry
from tidecast.online.raw_entries import RawEntries
from tidecast.settings import WorkerSettings
from tidecast.wire import MAX_ECHO_BYTES, Fields, Keys, id_pair
from worker.failures.redis_failures import refusals_explained
from worker.partition.exchange.pipeline import Command, PipelinedConnection
from worker.scripts import script_of

CLOSED = (RedisConnectionError, RedisTimeoutError)
NOTHING = RawEntries.of([])
LARGEST_FIELD = 2**26  # most bytes in memory for a field that is too large to be sent


@dataclass(frozen=True, slots=True)
class RecreatedStream:
    """A recreated stream of readings: its ids end before the last one answered.

    Attributes:
        first: the id of its first entry.
        newest: the id of its last entry.
        in_the_way: output streams with ids that are not lower, so that the readings' ids cannot be used there.
        lag: all its entries are unread.
    """

    first: str
    newest: str
    in_the_way: tuple[str, ...]
    lag: Lag


class EntryReader:
    """The reader of one partition's stream.

    Args:
        redis: the server.
        keys: the partition's keys.
        settings: how much to read at once.

    Attributes:
        portion: how many entries to read at once; fewer while they are large.
        has_more: whether there may be entries after the last batch.
    """

    def __init__(self, redis: Redis, keys: Keys, settings: WorkerSettings) -> None:
        self.portion = Portion(settings.batch)
        self.has_more = False
        self._redis = redis
        self._keys = keys
        self._batch_bytes = settings.batch_bytes
        self._peek = redis.register_script(script_of("peek"))
        self._extent_without_entries = redis.register_script(script_of("extent"))
        self._connection: PipelinedConnection | None = None
        if isinstance(redis, Redis):  # in a cluster a slot may move, so redis-py must route the reads
            self._connection = PipelinedConnection(redis)
        self._asked: tuple[str, int] | None = None  # (last id, count) of a read whose reply is not taken yet
        self._full_to: str | None = None  # where the last batch ends, if there may be more
        self._sent_info: tuple[str, Mapping[str, Any] | None] | None = None  # last id of a read, XINFO

    def read(self, last: str, block_ms: int | None) -> RawEntries:
        """Read the entries after `last`, see `Stream.read`."""
        entries, count = self._take_asked(last) or (NOTHING, 0)
        if not entries and (count == 0 or block_ms is not None):
            entries, count = self._read(last, block_ms)
        is_full = 0 < len(entries) == count
        received = len(entries)
        entries = self._within_bytes(entries)
        self.has_more = is_full or len(entries) < received
        self._full_to = entries.ids[-1] if is_full else None
        return entries

    def read_ahead(self) -> None:
        """Request the next batch, if the last one was full; its reply waits at the socket."""
        if self._full_to:
            self.ask(self._full_to)

    def ask(self, last: str) -> None:
        """Request the entries after `last`; the next `read` takes the reply."""
        if self._connection is None or (self._asked and self._asked[0] == last):
            return
        self.forget_asked()
        count = self.portion.count
        self._connection.send(self._command(last, count, None), ("XINFO", "STREAM", self._keys.readings))
        self._asked = last, count

    def forget_asked(self) -> None:
        """Discard the reply to `ask`."""
        if self._connection and self._asked:
            self._connection.close()
        self._asked = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection:
            self._connection.close()
        self._asked = None

    def lag(self, progress: Progress, batch: RawEntries) -> Lag:
        """Return the lag behind a batch that was read after `progress`."""
        sent = self._sent_info
        info = sent[1] if sent and sent[0] == progress.last else self._extent(self._keys.readings)
        return lag_of(info, progress, batch.ids)

    def recreated(self, last: str) -> RecreatedStream | None:
        """Return the recreated stream if its ids end before `last`, the last one answered; else None."""
        info = self._extent(self._keys.readings)
        if info is None or not was_recreated(info, last):
            return None
        first = info["first-entry"][0].decode()
        outputs = {key: self._extent(key) for key in (self._keys.forecasts, self._keys.dead)}
        above = (
            key for key, output in outputs.items() if output and id_pair(output["last-generated-id"]) >= id_pair(first)
        )
        newest = info["last-generated-id"].decode()
        return RecreatedStream(first, newest, tuple(above), lag_of(info, Progress(last, 0)))

    def _read(self, last: str, block_ms: int | None) -> tuple[RawEntries, int]:
        """Read entries; return them, and how many were requested."""
        self._sent_info = None

        def ask(count: int) -> tuple[RawEntries, int]:
            with refusals_explained():
                return self._received(last, count, block_ms), count

        try:
            return shrinking(self._redis, self.portion, ask)
        except CLOSED:
            if self.portion.count > 1:
                raise
            return RawEntries.of(self._peeked(last)), 0

    def _received(self, last: str, count: int, block_ms: int | None) -> RawEntries:
        """Request entries and wait for them."""
        readings = self._keys.readings
        if self._connection is None:
            reply = self._redis.xread({readings: last}, count=count, block=block_ms)
            streams = cast("list[tuple[bytes, list[tuple[bytes, Fields | None]]]]", reply)
            sent = streams[0][1] if streams else []
            return RawEntries.of([(entry_id.decode(), fields or {}) for entry_id, fields in sent])
        self.forget_asked()
        try:
            self._connection.send(self._command(last, count, block_ms))
            return self._connection.entries(readings) or NOTHING
        except Exception:
            self._connection.close()
            raise

    def _command(self, last: str, count: int, block_ms: int | None) -> Command:
        block = () if block_ms is None else ("BLOCK", block_ms)
        return ("XREAD", "COUNT", count, *block, "STREAMS", self._keys.readings, last)

    def _take_asked(self, last: str) -> tuple[RawEntries, int] | None:
        """Take the reply to `ask`, and how many entries were requested.

        Returns None if another read was requested, or the connection was closed.
        """
        if self._connection is None or self._asked is None or self._asked[0] != last:
            return None
        count = self._asked[1]
        self._asked = None
        try:
            with refusals_explained():
                entries = self._connection.entries(self._keys.readings) or NOTHING
            self._sent_info = last, _info(self._connection)
        except CLOSED:
            self._connection.close()
            return None
        except Exception:
            self._connection.close()
            raise
        return entries, count

    def _within_bytes(self, entries: RawEntries) -> RawEntries:
        """Return as many entries as `batch_bytes` allows, but at least one."""
        fitting = int((entries.places.size.cumsum() <= self._batch_bytes).sum())
        if fitting < len(entries):
            self.portion.halve()
            return entries[: max(1, fitting)]
        if entries:
            self.portion.went_well()
        return entries

    def _peeked(self, last: str) -> list[Entry]:
        """Read an entry that is too large to be sent: the beginnings of its fields, padded to their sizes."""
        with refusals_explained():
            reply = self._peek(keys=[self._keys.readings], args=[last, MAX_ECHO_BYTES])
        if reply is None:
            return []
        entry_id, cut = cast("tuple[bytes, list[Any]]", reply)
        texts = [text.ljust(min(size, LARGEST_FIELD), b"\0") for text, size in _pairs(cut)]
        return [(entry_id.decode(), dict(_pairs(texts)))]

    def _extent(self, stream: str) -> Mapping[str, Any] | None:
        """Return the XINFO reply for a stream; None if it does not exist."""
        try:
            with refusals_explained():
                return cast("Mapping[str, Any]", self._redis.xinfo_stream(stream))
        except ResponseError as exc:
            if "no such key" not in str(exc):
                raise
            return None
        except CLOSED:  # perhaps because XINFO sends the whole first and last entry, which may be too large
            if not answers(self._redis):
                raise
        with refusals_explained():
            flat = self._extent_without_entries(keys=[stream])
        return None if flat is None else {name.decode(): value for name, value in _pairs(cast("list[Any]", flat))}


def _info(pipelined: PipelinedConnection) -> dict[str, Any] | None:
    """Return the reply to XINFO STREAM; None if the stream is gone."""
    try:
        return {name.decode(): value for name, value in _pairs(pipelined.reply())}
    except ResponseError as exc:
        if "no such key" not in str(exc):
            raise
        return None


def _pairs(flat: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    """Return pairs from a flat list of alternating names and values."""
    items = iter(flat)
    return zip(items, items, strict=True)
