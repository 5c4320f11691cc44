"""Read batches of entries from one partition's stream, and compute the lag behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.connection.lag import Lag, Progress, lag_of, was_recreated
from tidecast.connection.portion import Portion, answers, shrinking
from tidecast.online.batch import Entry
from tidecast.settings import WorkerSettings
from tidecast.wire import MAX_ECHO_BYTES, Keys, id_pair
from worker.partition.pipeline import PipelinedConnection
from worker.partition.prefetch import Prefetcher
from worker.redis_failures import refusals_explained
from worker.scripts import script_of

CLOSED = (RedisConnectionError, RedisTimeoutError)
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
    """

    def __init__(self, redis: Redis, keys: Keys, settings: WorkerSettings) -> None:
        self.portion = Portion(settings.batch)
        self._redis = redis
        self._keys = keys
        self._batch_bytes = settings.batch_bytes
        self._prefetcher = Prefetcher(self._read)
        self._peek = redis.register_script(script_of("peek"))
        self._extent_without_entries = redis.register_script(script_of("extent"))
        self._pipelined = PipelinedConnection(redis) if isinstance(redis, Redis) else None
        self._asked: tuple[str, int] | None = None  # (last id, count) of a pipelined read without its reply
        self._sent_info: tuple[str, Mapping[str, Any] | None] | None = None  # last id of a read, XINFO

    def read(self, last: str, block_ms: int | None) -> Sequence[Entry]:
        """Read the entries after `last`, see `Stream.read`."""
        return self._prefetcher.read(last, block_ms)

    def read_ahead(self) -> None:
        """Prefetch the next batch on a thread, if the last one was full."""
        self._prefetcher.go_on()

    def ask(self, last: str) -> None:
        """Request the entries after `last`, before a commit; the next `read` takes the reply."""
        self.forget_asked()
        if self._pipelined is None or self._prefetcher.holds(last):
            return
        readings = self._keys.readings
        count = self.portion.count
        self._pipelined.send(
            ("XREAD", "COUNT", count, "STREAMS", readings, last),
            ("XINFO", "STREAM", readings),
        )
        self._asked = last, count

    def forget_asked(self) -> None:
        """Discard the reply to a pipelined read."""
        if self._pipelined and self._asked:
            self._pipelined.close()
        self._asked = None

    def lag(self, progress: Progress, batch: Sequence[Entry]) -> Lag:
        """Return the lag behind a batch that was read after `progress`."""
        sent = self._sent_info
        info = sent[1] if sent and sent[0] == progress.last else self._extent(self._keys.readings)
        return lag_of(info, progress, [entry_id for entry_id, _ in batch])

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

    def _read(self, last: str, block_ms: int | None) -> tuple[list[Entry], bool]:
        """Read entries; return them, and whether the batch is full."""
        if self._asked and self._asked[0] == last:
            batch = self._take_asked(self._asked[1])
            if batch and (batch[0] or block_ms is None):
                return batch
        self._sent_info = None

        def ask(count: int) -> tuple[Any, int]:
            with refusals_explained():
                return self._redis.xread({self._keys.readings: last}, count=count, block=block_ms), count

        try:
            reply, count = shrinking(self._redis, self.portion, ask)
        except CLOSED:
            if self.portion.count > 1:
                raise
            return self._peeked(last), False
        streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes] | None]]]]", reply)
        entries: list[Entry] = (
            [(entry_id.decode(), fields or {}) for entry_id, fields in streams[0][1]] if streams else []
        )
        return self._within_bytes(entries), len(entries) == count

    def _take_asked(self, count: int) -> tuple[list[Entry], bool] | None:
        """Take the reply to `ask`; return None if the connection was closed and the request must be repeated."""
        if self._pipelined is None or self._asked is None:
            raise AssertionError("nothing was asked for")
        last = self._asked[0]
        self._asked = None
        try:
            with refusals_explained():
                reply = self._pipelined.reply()
            self._sent_info = last, _info(self._pipelined)
        except CLOSED:
            self._pipelined.close()
            return None
        except Exception:
            self._pipelined.close()
            raise
        sent = cast("list[tuple[bytes, list[bytes] | None]]", reply[0][1] if reply else [])
        entries: list[Entry] = [(entry_id.decode(), dict(_pairs(flat or ()))) for entry_id, flat in sent]
        return self._within_bytes(entries), len(entries) == count

    def _within_bytes(self, entries: list[Entry]) -> list[Entry]:
        """Return as many entries as `batch_bytes` allows, but at least one."""
        sizes = accumulate(sum(map(len, (*fields, *fields.values()))) for _, fields in entries)
        fitting = sum(size <= self._batch_bytes for size in sizes)
        if fitting < len(entries):
            self.portion.halve()
        elif entries:
            self.portion.went_well()
        return entries[: max(1, fitting)]

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
