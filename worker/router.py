"""Route readings from the common stream `readings` to the streams of their partitions.

A producer that does not know the partitions, such as `redis-cli`, pushes to `readings`. The worker that holds partition
0 appends each reading to its partition's stream, and then trims it from the common stream. Each partition stores the id
of the last reading that it got this way, in the same script that appends it. So a reading that is routed again, after a
crash or by a second router, is skipped: no lease of its own is needed.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import structlog
from redis import Redis

from tidecast.online.batch import Entry
from tidecast.settings import Settings
from tidecast.wire import Fields, id_pair, keys_of
from worker.partition.entry_reader import EntryReader
from worker.redis_failures import refusals_explained
from worker.scripts import script_of

OLDEST = "0-0"
MOST_FIELDS = 3900  # of a reading: a Lua call takes 8,000 values
LAST_NUMBER = 2**64 - 1  # of an entry id

log = structlog.get_logger("tidecast.worker")


class Router:
    """The router of a namespace with several partitions.

    Args:
        redis: the server or cluster.
        settings: the number of partitions, and how much to read at once.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        count = settings.partitions
        self._redis = redis
        self._common = keys_of(namespace=settings.namespace)
        self._keys = [keys_of(number, count, settings.namespace) for number in range(count)]
        self._reader = EntryReader(redis, self._common, settings.worker)
        self._route = redis.register_script(script_of("route"))
        self._most_bytes = settings.series.max_entry_bytes + 1  # more makes a reading a dead letter as well
        self._is_ours: bool | None = None  # whether the common stream is there to be routed; None: not known yet
        self._highest: str | None = None  # the highest id that was routed; None: not known yet

    def step(self) -> int:
        """Route the oldest readings of the common stream; return their number.

        Raises:
            RedisError: Redis is away; the same readings are routed again.
            StreamError: a key is of the wrong type.
            Unavailable: Redis refuses temporarily.
        """
        if self._is_ours is None:
            self._is_ours = self._look()
        if not self._is_ours:
            return 0
        entries = self._reader.read(OLDEST, None)
        if not entries:
            return 0
        if self._highest is None:
            self._highest = self._read_highest()
            log.info("routing readings to their partitions", stream=self._common.readings)
        if id_pair(entries.ids[0]) <= id_pair(self._highest):
            self._forget_if_recreated()
        repeated = sum(self._append(number, chosen) for number, chosen in self._by_partition(entries).items())
        if repeated:
            log.info("readings had been routed before, and were skipped", readings=repeated)
        self._trim(entries.ids[-1])
        self._highest = entries.ids[-1]
        return len(entries)

    def _look(self) -> bool:
        """Return whether no worker of a single partition has answered readings of the common stream.

        Otherwise its readings, which are kept for training, would be answered a second time.
        """
        with refusals_explained():
            is_ours = not self._redis.exists(self._common.offset)
        if not is_ours:
            log.warning(
                "readings are not routed, as a worker of one partition has answered this stream",
                stream=self._common.readings,
                remedy=f"rename or delete {self._common.offset} and {self._common.readings}, then restart, "
                "or use another namespace",
            )
        return is_ours

    def _by_partition(self, entries: Sequence[Entry]) -> dict[int, list[Entry]]:
        """Group readings by partition; one without a usable name goes to a partition that makes it a dead letter."""
        chosen: dict[int, list[Entry]] = {}
        for entry in entries:
            number = crc32(entry[1].get(b"series", b"")) % len(self._keys)
            chosen.setdefault(number, []).append(entry)
        return chosen

    def _append(self, number: int, entries: Sequence[Entry]) -> int:
        """Append readings to a partition's stream; return how many of them it had before."""
        keys = self._keys[number]
        args: list[Any] = []
        for entry_id, fields in entries:
            flat = list(self._cut(fields))
            args += (entry_id, len(flat), *flat)
        with refusals_explained():
            return int(self._route(keys=[keys.readings, keys.routed], args=args))

    def _cut(self, fields: Fields) -> Iterator[bytes]:
        """Yield names and values, the required fields first. A reading that is too large stays so when it is cut."""
        names = sorted(fields, key=lambda name: name not in (b"series", b"ts"))
        for name in names[:MOST_FIELDS]:
            yield name[: self._most_bytes]
            yield fields[name][: self._most_bytes]
        if rest := names[MOST_FIELDS:]:
            yield b"more_fields"
            yield b" ".join(name + b"=" + fields[name] for name in rest)[: self._most_bytes]

    def _trim(self, last: str) -> None:
        """Remove the readings up to the last one routed from the common stream."""
        with refusals_explained():
            self._redis.xtrim(self._common.readings, minid=_id_after(last), approximate=False)

    def _read_highest(self) -> str:
        """Return the highest id that was routed."""
        with refusals_explained():
            routed = [self._redis.get(keys.routed) for keys in self._keys]
        return max((last.decode() for last in routed if isinstance(last, bytes)), key=id_pair, default=OLDEST)

    def _forget_if_recreated(self) -> None:
        """Forget what was routed if the common stream was deleted, and has never had the highest id since."""
        with refusals_explained():
            newest = self._redis.xinfo_stream(self._common.readings)["last-generated-id"]
            if id_pair(newest) < id_pair(self._highest or OLDEST):
                log.warning("the stream was deleted and started again", stream=self._common.readings)
                for keys in self._keys:
                    self._redis.delete(keys.routed)


def _id_after(entry_id: str) -> str:
    """Return the lowest id that is higher than this one."""
    ms, number = id_pair(entry_id)
    return f"{ms + 1}-0" if number == LAST_NUMBER else f"{ms}-{number + 1}"
