"""Route readings from other streams to the streams of their partitions.

A producer that does not know the partitions, such as `redis-cli`, pushes to `readings`. One that has not noticed a
repartition pushes to a partition that is closed. The worker that holds partition 0 appends each reading to its
partition's stream, and then removes it. Each partition stores the id of the last reading of each stream that it got
this way, in the same script that appends it. So a reading that is routed again, after a crash or by a second router, is
skipped: no lease of its own is needed.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast
from zlib import crc32

import structlog
from redis import Redis

from tidecast.errors import Fenced
from tidecast.online.batch import Entry
from tidecast.settings import Settings
from tidecast.wire import Fields, id_pair, keys_of, layout_of
from worker.failures.backoff import Backoff
from worker.failures.redis_failures import refusals_explained
from worker.layout.sources import OLDEST, RoutedStream, closed_by_generation, sources_of, waiting
from worker.partition.exchange.entry_reader import EntryReader
from worker.scripts import script_of

MOST_FIELDS = 3900  # of a reading: a Lua call takes 8,000 values
LAST_NUMBER = 2**64 - 1  # of an entry id
LAST_ID = (LAST_NUMBER, LAST_NUMBER)
FORMER_EVERY_S = 0.05  # how often to look into the streams of closed partitions, while they are empty
RETAIN_EVERY_S = 10.0  # how often the answered readings of closed partitions are trimmed

log = structlog.get_logger("tidecast.worker")


class Router:
    """The router of a namespace.

    Args:
        redis: the server or cluster.
        settings: the present layout, and how much to read at once.

    Attributes:
        failures: how many steps have failed in a row.
        pause_s: how long the pause after the last failure is, in seconds.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._keys = layout_of(settings).present()
        self._route = redis.register_script(script_of("route"))
        self._most_bytes = settings.series.max_entry_bytes + 1  # more makes a reading a dead letter as well
        self._sources: list[RoutedStream] | None = None  # None: not known yet
        self._readers: dict[str, EntryReader] = {}  # of the streams that had readings
        # Streams of closed partitions with ids up to which they must be routed before those of older generations.
        self._first: list[dict[RoutedStream, str]] = []
        self._looked_at = -math.inf  # when the streams of closed partitions were empty, by the monotonic clock
        self._retained_at = -math.inf
        self._highest: dict[str, str] = {}  # by stream, the highest id that was routed
        self.failures = 0
        self.pause_s = 0.0
        self._retry_at = -math.inf  # by the monotonic clock
        self._backoff = Backoff(settings.worker.lease)

    def try_step(self) -> int:
        """Take a step unless there must be a pause after a failure; return the number of readings routed.

        Raises:
            RedisError, StreamError, Unavailable: as `step`; it is tried again after a pause.
        """
        if time.monotonic() < self._retry_at:
            return 0
        try:
            routed = self.step()
        except Fenced:  # a repartition has closed the partitions
            return 0
        except Exception:
            self.failures += 1
            self.pause_s = self._backoff.pause_s(self.failures)
            self._retry_at = time.monotonic() + self.pause_s
            raise
        self.failures = 0
        return routed

    def step(self) -> int:
        """Route the oldest readings of all streams in the order of their ids; return their number.

        Raises:
            RedisError: Redis does not answer; the same readings are routed again.
            StreamError: a key is of the wrong type.
            Unavailable: Redis refuses temporarily.
        """
        if self._sources is None:
            self._sources = self._find_sources()
        self._retain(self._sources)
        batches = {source: self._read(source) for source in self._filled(self._sources)}
        batches = {source: entries for source, entries in batches.items() if entries}
        if not batches:
            return 0
        if not self._highest:
            log.info("routing readings to their partitions", streams=[source.stream for source in batches])
        for source, entries in batches.items():
            if id_pair(entries[0][0]) <= id_pair(self._highest.setdefault(source.stream, self._read_highest(source))):
                self._forget_if_recreated(source)
        return self._route_batches(batches)

    def close(self) -> None:
        """Give the connections back."""
        for reader in self._readers.values():
            reader.close()

    def _find_sources(self) -> list[RoutedStream]:
        """Return the streams to route; not the plain one if a worker of a single partition has answered it.

        Otherwise its readings, which are kept for training, would be answered a second time.
        """
        layout = layout_of(self._settings)
        with refusals_explained():
            sources = sources_of(self._redis, layout)
            for closed in closed_by_generation(self._redis, layout):
                self._first.append({source: self._newest(source.stream) for source in closed})
            front = keys_of(namespace=layout.namespace)
            if layout.numbers[0] > 1 and self._redis.exists(front.offset):
                log.warning(
                    "readings are not routed, as a worker of one partition has answered this stream",
                    stream=front.readings,
                    remedy=f"rename or delete {front.offset} and {front.readings}, then restart, "
                    "or use another namespace",
                )
                return sources[1:]
        return sources

    def _newest(self, stream: str) -> str:
        newest = cast("list[tuple[bytes, object]]", self._redis.xrevrange(stream, count=1))
        return newest[0][0].decode() if newest else OLDEST

    def _filled(self, sources: list[RoutedStream]) -> list[RoutedStream]:
        """Return the streams to read: the plain one, and now and then those of closed partitions with readings.

        A former router has appended readings from older streams to newer ones, so these come first at the beginning.
        """
        while self._first:
            newest = self._first[-1]
            with refusals_explained():
                begun = waiting(self._redis, list(newest))
            if filled := [source for source, first in begun.items() if id_pair(first) <= id_pair(newest[source])]:
                return filled
            self._first.pop()
        plain = keys_of(namespace=self._settings.namespace).readings
        front = [source for source in sources if source.stream == plain]
        former = [source for source in sources if source.stream != plain]
        now = time.monotonic()
        if not former or now - self._looked_at < FORMER_EVERY_S:
            return front
        with refusals_explained():
            filled = list(waiting(self._redis, former))
        if not filled:
            self._looked_at = now
        return front + filled

    def _read(self, source: RoutedStream) -> Sequence[Entry]:
        reader = self._readers.get(source.stream)
        if reader is None:
            reader = self._readers[source.stream] = EntryReader(self._redis, source.keys, self._settings.worker)
        return list(reader.read(source.cut, None))

    def _route_batches(self, batches: dict[RoutedStream, Sequence[Entry]]) -> int:
        """Append readings in the order of their ids, and remove them from their streams.

        Readings after the end of a batch that is not the last of its stream wait, as others belong before them.
        """
        ends = [id_pair(entries[-1][0]) for source, entries in batches.items() if self._readers[source.stream].has_more]
        end = min(ends, default=LAST_ID)
        streams = [source.stream for source in batches]
        merged = sorted(
            (
                (id_pair(entry[0]), number, entry)
                for number, entries in enumerate(batches.values(), 1)
                for entry in entries
                if id_pair(entry[0]) <= end
            ),
            key=lambda item: item[:2],
        )
        chosen: dict[int, list[tuple[int, Entry]]] = {}
        for _, number, entry in merged:
            chosen.setdefault(self._partition_of(entry), []).append((number, entry))
        repeated = sum(self._append(partition, streams, entries) for partition, entries in chosen.items())
        if repeated:
            log.info("readings had been routed before, and were skipped", readings=repeated)
        for number, source in enumerate(batches, 1):
            self._remove(source, [entry[0] for _, its, entry in merged if its == number])
        return len(merged)

    def _partition_of(self, entry: Entry) -> int:
        """Return the partition of a reading; one without a usable name goes to one that makes it a dead letter."""
        return crc32(entry[1].get(b"series", b"")) % len(self._keys)

    def _append(self, partition: int, streams: Sequence[str], entries: Sequence[tuple[int, Entry]]) -> int:
        """Append readings to a partition's stream; return how many of them it had before.

        Args:
            partition: the number of the partition.
            streams: the streams of the readings.
            entries: the readings, each with the number of its stream, from 1.
        """
        keys = self._keys[partition]
        args: list[Any] = [len(streams), *streams]
        for number, (entry_id, fields) in entries:
            flat = list(self._cut(fields))
            args += (number, entry_id, len(flat), *flat)
        with refusals_explained():
            return int(self._route(keys=[keys.readings, keys.routed, keys.offset], args=args))

    def _cut(self, fields: Fields) -> Iterator[bytes]:
        """Yield names and values, the required fields first. A reading that is too large stays so when it is cut."""
        names = sorted(fields, key=lambda name: name not in (b"series", b"ts"))
        for name in names[:MOST_FIELDS]:
            yield name[: self._most_bytes]
            yield fields[name][: self._most_bytes]
        if rest := names[MOST_FIELDS:]:
            yield b"more_fields"
            yield b" ".join(name + b"=" + fields[name] for name in rest)[: self._most_bytes]

    def _remove(self, source: RoutedStream, ids: Sequence[str]) -> None:
        """Remove routed readings from their stream."""
        if not ids:
            return
        with refusals_explained():
            if source.cut == OLDEST:
                self._redis.xtrim(source.stream, minid=_id_after(ids[-1]), approximate=False)
            else:
                self._redis.xdel(source.stream, *ids)
        self._highest[source.stream] = ids[-1]

    def _read_highest(self, source: RoutedStream) -> str:
        """Return the highest id of a stream that was routed."""
        with refusals_explained():
            routed = [self._redis.hget(keys.routed, source.stream) for keys in self._keys]
        return max((last.decode() for last in routed if isinstance(last, bytes)), key=id_pair, default=OLDEST)

    def _forget_if_recreated(self, source: RoutedStream) -> None:
        """Forget what was routed if the stream was deleted, and has never had the highest id since."""
        with refusals_explained():
            newest = self._redis.xinfo_stream(source.stream)["last-generated-id"]
            if id_pair(newest) < id_pair(self._highest[source.stream]):
                log.warning("the stream was deleted and started again", stream=source.stream)
                for keys in self._keys:
                    self._redis.hdel(keys.routed, source.stream)

    def _retain(self, sources: list[RoutedStream]) -> None:
        """Trim answered readings of closed partitions that are older than `retention`."""
        kept_s = self._settings.worker.retention
        now = time.monotonic()
        if kept_s is None or now - self._retained_at < RETAIN_EVERY_S:
            return
        self._retained_at = now
        oldest = (max(0, round((time.time() - kept_s) * 1000)), 0)
        with refusals_explained():
            for source in sources:
                if source.cut != OLDEST:
                    ms, number = min(oldest, id_pair(_id_after(source.cut)))
                    self._redis.xtrim(source.stream, minid=f"{ms}-{number}", approximate=False)


def _id_after(entry_id: str) -> str:
    """Return the lowest id that is higher than this one."""
    ms, number = id_pair(entry_id)
    return f"{ms + 1}-0" if number == LAST_NUMBER else f"{ms}-{number + 1}"
