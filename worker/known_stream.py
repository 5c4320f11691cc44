"""Read the values that are known ahead from the stream `known`, which all partitions and workers share.

Values whose entries were trimmed are forgotten, so the stream's length bounds the memory.

A forecast uses the values whose entries arrived up to the millisecond of its reading, by the ids of both. It does not
depend on the moment at which a worker reads: a restart, another worker and a replay make the same forecast.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import ResponseError

from tidecast.connection.refusals import NO_RIGHT
from tidecast.errors import BadReading, Unavailable
from tidecast.models.known.entries import add_entries
from tidecast.models.known.values import LATEST, KnownValues
from tidecast.settings import Settings
from tidecast.wire import DeadLetter, id_pair
from tidecast.wire.known import KnownEntry, known_keys, parse_known
from worker.failures.log_limiter import LogLimiter
from worker.failures.redis_failures import refusals_explained
from worker.metrics import Health
from worker.scripts import script_of

AT_ONCE = 1000  # entries of one reply
LOOK_EVERY_S = 5.0  # while no model reads them
FORGET_EVERY_S = 60.0  # how often to forget values whose entries were trimmed
FORGOTTEN_AT_ONCE = 100  # fields of sources that are looked through in one step: each takes microseconds
WAIT_S = 0.0005  # for the server's clock, which shows the millisecond of the newest reading
WAITS = 20  # at most: ids that are ahead of the clock are not waited for

log = structlog.get_logger("tidecast.worker")

RawEntry = tuple[bytes, Sequence[bytes]]  # the id, and alternating names and values


class KnownStream:
    """The values of the stream, as far as it was read.

    Args:
        redis: the server or cluster.
        settings: the namespace, and how large an entry may be.
        health: the metrics.

    Attributes:
        values: the values, with the milliseconds of their entries as the moments since which they are known.
    """

    def __init__(self, redis: Redis, settings: Settings, health: Health) -> None:
        self.values = KnownValues()
        self._redis = redis
        self._key, self._dead = known_keys(settings.namespace)
        self._read = redis.register_script(script_of("known"))
        self._most_bytes = settings.series.max_entry_bytes
        self._dead_kept = settings.worker.dead_kept
        self._health = health
        self._limiter = LogLimiter()
        self._last = "0-0"
        self._looked_at = -float("inf")
        self._begins_ms = 0  # where the stream began at the last look
        self._forgotten_ms = 0  # values from before this moment are forgotten
        self._forgot_at = -float("inf")
        self._forgetting: Iterator[None] | None = None  # in progress

    def look(self, now: float) -> None:
        """Read new entries every `LOOK_EVERY_S`, so that bad ones are reported though no model reads any.

        Some of the values whose entries were trimmed are forgotten in each call.

        Args:
            now: seconds of a clock that never runs backwards.

        Raises:
            RedisError: Redis does not answer; the same entries are read again.
        """
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self.read_until(0)
        self._forget(now)

    def read_until(self, ms: int) -> None:
        """Read all entries that arrived up to a millisecond, and those after it that are there.

        Args:
            ms: epoch milliseconds by the ids of the stream's server.

        Raises:
            RedisError: Redis does not answer; the same entries are read again.
        """
        for _ in range(WAITS):
            if self._read_all() > ms:
                return
            time.sleep(WAIT_S)

    def _forget(self, now: float) -> None:
        """Go on forgetting values whose entries were trimmed; begin again every `FORGET_EVERY_S`."""
        if self._forgetting and len(list(islice(self._forgetting, FORGOTTEN_AT_ONCE))) < FORGOTTEN_AT_ONCE:
            self._forgetting = None
        due = now - self._forgot_at >= FORGET_EVERY_S and self._begins_ms > self._forgotten_ms
        if due and self._forgetting is None:
            self._forgot_at = now
            self._forgotten_ms = self._begins_ms
            self._forgetting = self.values.forget(self._begins_ms)

    def _forget_all(self) -> None:
        """Forget the values of a stream that was deleted."""
        self._forgetting = None
        self._forgotten_ms = 0
        for _ in self.values.forget(LATEST):
            pass

    def _read_all(self) -> int:
        """Read all entries that are there; return the server's clock before the last look, in epoch milliseconds."""
        while True:
            try:
                with refusals_explained():
                    clock, entries, first = cast("Any", self._read(keys=[self._key], args=[self._last, AT_ONCE]))
            except Unavailable as exc:
                if exc.code != NO_RIGHT:
                    raise
                if times := self._limiter.count("right"):
                    remedy = f"grant the worker's user ~{self._key}"
                    log.warning("known values cannot be read", key=self._key, times=times, remedy=remedy)
                return 2**63
            if entries:
                if id_pair(entries[0][0]) <= id_pair(self._last):
                    log.warning("stream of known values was recreated", key=self._key, read_to=self._last)
                    self._forget_all()
                self._take(entries)
                self._last = entries[-1][0].decode()
            if len(entries) < AT_ONCE:
                # An empty stream takes entries from its last id on: all values that were read are from before.
                self._begins_ms = id_pair(first)[0] if first else id_pair(self._last)[0] + 1
                return int(clock)

    def _take(self, entries: Iterable[RawEntry]) -> None:
        taken: list[tuple[int, KnownEntry]] = []
        dead: list[DeadLetter] = []
        for raw_id, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            try:
                taken.append((id_pair(raw_id)[0], parse_known(fields, self._most_bytes)))
            except BadReading as exc:
                dead.append(DeadLetter(raw_id.decode(), exc.reason, str(exc), fields))
        add_entries(self.values, taken)
        self._health.known(len(taken), len(dead))
        for letter in dead:
            self._reject(letter)

    def _reject(self, letter: DeadLetter) -> None:
        """Write a dead letter under the entry's id, unless another worker has written it."""
        if times := self._limiter.count(letter.reason):
            remedy = "`tidecast dead` lists them"
            log.warning("known values were rejected", count=times, id=letter.id, detail=letter.detail, remedy=remedy)
        flat = letter.encode()
        fields = cast("Any", dict(zip(flat[::2], flat[1::2], strict=True)))
        try:
            with refusals_explained():
                self._redis.xadd(self._dead, fields, id=letter.id, maxlen=self._dead_kept)
        except ResponseError as exc:
            if "equal or smaller" not in str(exc):
                raise
