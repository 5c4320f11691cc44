"""Read the status of a partition from Redis: its offset, its lag, its owner and its retraining schedule."""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tidecast.connection.connection import connect
from tidecast.connection.lag import Lag, Progress, lag_of
from tidecast.connection.portion import Portion, shrinking
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import DISPOSITIONS, Keys, Layout, common_keys, id_pair, is_entry_id

_WHOLE = re.compile(rb"-?[0-9]{1,18}")
PIECE = 500  # entries of one reply
LAYOUT_EVERY_S = 1.0  # how often a program that runs for long reads the number of partitions


DELETE = "delete it while no worker runs; the next one writes its own number"


def decode_layout(key: str, stored: bytes, namespace: str) -> Layout:
    """Return the layout that Redis stores under a key.

    Raises:
        SettingsError: it is not a layout.
    """
    text = stored.decode(errors="backslashreplace")
    layout = Layout.decode(text, namespace)
    if layout is None:
        raise SettingsError(f"{key} in Redis is {text[:40]!r}, not a number: {DELETE}")
    return layout


def at_present(redis: Redis, settings: Settings) -> Settings:
    """Return the settings with the present number of partitions; the one set is only used before the first worker.

    Raises:
        SettingsError: Redis stores no valid number.
        RedisError: Redis does not answer.
    """
    key = common_keys(settings.namespace)[0]
    stored = cast("bytes | None", redis.get(key))
    return settings if stored is None else settings.with_partitions(decode_layout(key, stored, "").numbers)


class PresentSettings:
    """The settings with the present number of partitions, which a call reads again after `LAYOUT_EVERY_S`.

    Args:
        settings: where Redis is.
        redis: an open connection; None: one for each look.
    """

    def __init__(self, settings: Settings, redis: Redis | None = None) -> None:
        self._settings = settings
        self._redis = redis
        self._looked_at = -math.inf

    def __call__(self) -> Settings:
        """Return the settings with the present layout; with the former one while Redis does not answer."""
        now = time.monotonic()
        if now - self._looked_at >= LAYOUT_EVERY_S:
            self._looked_at = now
            with suppress(RedisError), nullcontext(self._redis) if self._redis else connect(self._settings) as redis:
                self._settings = at_present(redis, self._settings)
        return self._settings


@dataclass(frozen=True, slots=True)
class Offset:
    """The progress of a partition.

    Attributes:
        last: the id of the last processed reading; `0-0` before the first.
        counts: all readings so far by disposition, and those `read` and `lost`; `before` of the readings were read
            before the stream's own count began.
    """

    last: str
    counts: Mapping[str, int]

    @property
    def answered(self) -> int:
        """Return how many readings were processed, with any disposition."""
        return sum(self.counts.get(name, 0) for name in DISPOSITIONS)

    @property
    def progress(self) -> Progress:
        """Return the position in the stream, by the stream's own count."""
        return Progress(self.last, self.counts.get("read", 0) - self.counts.get("before", 0))


@dataclass(frozen=True, slots=True)
class Run:
    """A partition's retraining schedule and its latest run; times in epoch milliseconds, 0 where not known.

    Attributes:
        partition: the partition.
        trigger: `every 6h` or `cron 0 3 * * * UTC`.
        state: the state of the latest run: `running`, `waiting`, `finished`, `failed`; empty before the first.
        due_ms: when the run was due.
        tries: how often it was started.
        started_ms: when it was last started.
        ended_ms: when a run last ended.
        next_ms: when the next run is due, or a waiting run is tried again.
        runs: the number of ended runs.
        owner: the worker that runs it.
        detail: the result of the run.
    """

    partition: int
    trigger: str
    state: str
    due_ms: int
    tries: int
    started_ms: int
    ended_ms: int
    next_ms: int
    runs: int
    owner: str
    detail: str

    @classmethod
    def of(cls, partition: int, record: Mapping[bytes, bytes]) -> "Run":
        """Decode a partition's record."""
        text = {_text(name): _text(value) for name, value in record.items()}

        def number(name: str) -> int:
            return _number(record.get(name.encode()))

        return cls(
            partition,
            trigger=text.get("trigger", ""),
            state=text.get("state", ""),
            due_ms=number("due_ms"),
            tries=number("tries"),
            started_ms=number("started_ms"),
            ended_ms=number("ended_ms"),
            next_ms=number("retry_ms") or number("next_ms"),
            runs=number("runs"),
            owner=text.get("owner", ""),
            detail=text.get("detail", ""),
        )


def offset_of(redis: Redis, keys: Keys) -> Offset:
    """Read the progress of a partition."""
    numbers = cast("dict[bytes, bytes]", redis.hgetall(keys.offset))
    counts = {_text(name): _number(value) for name, value in numbers.items() if name != b"last"}
    last = numbers.get(b"last", b"")
    return Offset(last.decode() if is_entry_id(last) else "0-0", counts)


def read_lag(redis: Redis, keys: Keys, offset: Offset) -> Lag:
    """Return the lag of a partition behind its offset."""
    return lag_of(stream_info(redis, keys.readings), offset.progress)


def oldest_wait_s(redis: Redis, keys: Keys, last: str, now_ms: int) -> float | None:
    """Return how long the oldest reading after the offset `last` has waited, in seconds; None if no reading waits."""
    oldest = cast("list[tuple[bytes, object]]", redis.xrange(keys.readings, f"({last}", "+", count=1))
    return max(0.0, (now_ms - id_pair(oldest[0][0])[0]) / 1000) if oldest else None


def total(lags: Iterable[int | None]) -> int | None:
    """Return the sum of the unread readings of partitions; None if one number is not known."""
    known = list(lags)
    return None if None in known else sum(filter(None, known))


def owner_of(redis: Redis, keys: Keys, now_ms: int) -> str | None:
    """Return the worker that holds the lease of a partition; None if no worker holds it."""
    owner, expires = cast("list[bytes | None]", redis.hmget(keys.lease, ["owner", "expires_ms"]))
    return _text(owner) if owner and _number(expires) > now_ms else None


def workers(redis: Redis, namespace: str, owners: Iterable[str | None], now_ms: int) -> set[str]:
    """Return the live workers: those on the roster, and the owners, as a single partition has no roster."""
    roster = cast("dict[bytes, bytes]", redis.hgetall(common_keys(namespace)[1]))
    return {_text(name) for name, until in roster.items() if _number(until) > now_ms} | {
        owner for owner in owners if owner
    }


def run_of(redis: Redis, partition: int, keys: Keys) -> Run | None:
    """Return the record of a partition's schedule; None without a schedule."""
    record = cast("dict[bytes, bytes]", redis.hgetall(keys.retrain))
    return Run.of(partition, record) if record else None


def server_ms(redis: Redis) -> int:
    """Return the time of Redis' clock, which leases use, in epoch milliseconds."""
    seconds, micros = redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def stream_info(redis: Redis, stream: str) -> Mapping[str, Any] | None:
    """Return XINFO of a stream; None if the stream does not exist."""
    try:
        return cast("Mapping[str, Any]", redis.xinfo_stream(stream))
    except ResponseError as exc:
        if "no such key" not in str(exc):
            raise
        return None


def newest_id(redis: Redis, stream: str) -> str:
    """Return the highest id that a stream has ever had; `0-0` if it does not exist."""
    info = stream_info(redis, stream)
    return info["last-generated-id"].decode() if info else "0-0"


def least_needed(redis: Redis, stream: str, but: str = "") -> str | None:
    """Return the least id that a consumer group of a stream has not acknowledged; None if no group needs any entry.

    Args:
        redis: the server.
        stream: its key.
        but: a group that does not count.
    """
    needed: list[str] = []
    for group in redis.xinfo_groups(stream):
        if group["name"] != but.encode():
            pending = redis.xpending(stream, group["name"])["min"] if group["pending"] else None
            ms, number = id_pair(pending or group["last-delivered-id"])
            needed.append(f"{ms}-{number + (pending is None)}")
    return min(needed, key=id_pair, default=None)


def has_group(redis: Redis, stream: str, group: str) -> bool:
    """Return whether a stream exists and has a consumer group of this name."""
    try:
        groups = redis.xinfo_groups(stream)
    except ResponseError as exc:
        if "no such key" not in str(exc):
            raise
        return False
    return group.encode() in [each["name"] for each in groups]


def newest_entries(
    redis: Redis, stream: str, most: int, since: str | int = "-", last: str = "+"
) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """Yield the newest entries of a stream up to `last`, newest first, in pieces: Redis may not send all at once."""
    portion = Portion(min(most, PIECE))

    def ask(count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        entries = redis.xrevrange(stream, last, since, count=min(count, most))
        return cast("list[tuple[bytes, dict[bytes, bytes]]]", entries)

    while most > 0 and (piece := shrinking(redis, portion, ask)):
        portion.went_well()
        yield from piece
        most -= len(piece)
        last = f"({piece[-1][0].decode()}"


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def whole_number(raw: bytes | None) -> int | None:
    """Parse a whole number that Redis stores as text; None if it is missing or not a number."""
    return int(raw) if raw and _WHOLE.fullmatch(raw) else None


def _number(raw: bytes | None) -> int:
    """Parse a whole number that Redis stores as text; 0 if it is missing or not a number."""
    return whole_number(raw) or 0
