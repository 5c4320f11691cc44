"""What Redis says of a partition: how far it has come, what waits, who answers it and how its schedule goes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError

from tidecast.connection.portion import Portion, shrinking
from tidecast.errors import SettingsError
from tidecast.wire import DISPOSITIONS, Keys, common_keys, id_pair, is_entry_id

_WHOLE = re.compile(rb"-?[0-9]{1,18}")
PIECE = 500  # entries of one reply


DELETE = "delete it while no worker runs; the next one writes its own number"


def check_partitions(key: str, found: bytes | None, wanted: int) -> None:
    """Make sure that a number of partitions is the one in Redis, if there is one.

    Raises:
        SettingsError: other programs of this namespace were started with another number.
    """
    if found is not None and found != b"%d" % wanted:
        number = found.decode(errors="backslashreplace")
        if not re.fullmatch(r"[1-9][0-9]{0,2}", number):
            raise SettingsError(f"{key} in Redis is {number[:40]!r}, not a number: {DELETE}")
        raise SettingsError(
            f"setting partitions is {wanted}, but {key} in Redis says {number}: use that, or another namespace"
        )


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a partition has come.

    Attributes:
        last: the last reading that came to its end; `0-0`: none has.
        counts: of readings since the beginning, by disposition, and those `read` and `lost`; of them `before` were read
            before the stream's own count began.
    """

    last: str
    counts: Mapping[str, int]

    @property
    def answered(self) -> int:
        """How many readings came to an end, whatever it was."""
        return sum(self.counts.get(name, 0) for name in DISPOSITIONS)

    @property
    def counted(self) -> int:
        """How many of the entries that the stream has counted were read."""
        return self.counts.get("read", 0) - self.counts.get("before", 0)


@dataclass(frozen=True, slots=True)
class Run:
    """What a partition's record says of its schedule; times in epoch milliseconds, 0 where not known.

    Attributes:
        partition: whose.
        trigger: `every 6h` or `cron 0 3 * * * UTC`.
        state: of the latest run: `running`, `waiting`, `finished`, `failed`; empty before the first.
        due_ms: when it was due.
        tries: how often it was begun.
        started_ms: when it began last.
        ended_ms: when a run ended last.
        next_ms: when the next one is due, or the one that waits is tried again.
        runs: how many have ended.
        owner: who runs it.
        detail: how it ended.
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
        """Read a partition's record."""
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
    """Read how far a partition has come."""
    found = cast("dict[bytes, bytes]", redis.hgetall(keys.offset))
    counts = {_text(name): _number(value) for name, value in found.items() if name != b"last"}
    last = found.get(b"last", b"")
    return Offset(last.decode() if is_entry_id(last) else "0-0", counts)


def waiting(redis: Redis, keys: Keys, offset: Offset) -> int | None:
    """How many readings wait for an answer; those that were trimmed before they were read wait no more.

    None: Redis does not say. Before 7 it does not count what was added to a stream, and one that was deleted and begun
    anew has counted other readings than those read. Where its ids end before the offset, none of it was read.
    """
    info = stream_info(redis, keys.readings)
    last = id_pair(offset.last)
    if info is None or not info["last-entry"]:
        return 0
    length = int(info["length"])
    if begun_anew(info, offset.last):
        return length
    if id_pair(info["last-entry"][0]) <= last:
        return 0
    if id_pair(info["first-entry"][0]) > last:
        return length
    unread = int(info.get("entries-added", 0)) - offset.counted
    return min(unread, length) if unread > 0 else None


def begun_anew(info: Mapping[str, Any], last: str) -> bool:
    """Whether a stream of readings, by its XINFO, was deleted and begun anew with ids before `last`, the offset."""
    return bool(info["length"]) and id_pair(info["last-generated-id"]) < id_pair(last)


def total(lags: Iterable[int | None]) -> int | None:
    """The lag of partitions together; None where that of one is not known."""
    known = list(lags)
    return None if None in known else sum(filter(None, known))


def owner_of(redis: Redis, keys: Keys, now_ms: int) -> str | None:
    """The worker that holds a partition; None: nobody does."""
    owner, expires = cast("list[bytes | None]", redis.hmget(keys.lease, ["owner", "expires_ms"]))
    return _text(owner) if owner and _number(expires) > now_ms else None


def workers(redis: Redis, namespace: str, owners: Iterable[str | None], now_ms: int) -> set[str]:
    """The workers alive: those on the roster, and the owners, for the worker of a single partition keeps no roster."""
    roster = cast("dict[bytes, bytes]", redis.hgetall(common_keys(namespace)[1]))
    return {_text(name) for name, until in roster.items() if _number(until) > now_ms} | {one for one in owners if one}


def run_of(redis: Redis, partition: int, keys: Keys) -> Run | None:
    """What is recorded of a partition's schedule; None: it has none."""
    record = cast("dict[bytes, bytes]", redis.hgetall(keys.retrain))
    return Run.of(partition, record) if record else None


def server_ms(redis: Redis) -> int:
    """Redis' own time, by which leases end, in epoch milliseconds."""
    seconds, micros = redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def stream_info(redis: Redis, stream: str) -> Mapping[str, Any] | None:
    """What XINFO says of a stream; None: there is none."""
    try:
        return cast("Mapping[str, Any]", redis.xinfo_stream(stream))
    except ResponseError as exc:
        if "no such key" not in str(exc):
            raise
        return None


def has_group(redis: Redis, stream: str, group: str) -> bool:
    """Whether a stream exists and has a consumer group of this name."""
    try:
        groups = redis.xinfo_groups(stream)
    except ResponseError as exc:
        if "no such key" not in str(exc):
            raise
        return False
    return group.encode() in [each["name"] for each in groups]


def newest_entries(
    redis: Redis, stream: str, most: int, since: str | int = "-"
) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """The newest entries of a stream, newest first, read in pieces: one reply of all may be more than Redis sends."""
    last, portion = "+", Portion(min(most, PIECE))

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
    """Read a whole number that Redis keeps as text; None where there is none, or something else."""
    return int(raw) if raw and _WHOLE.fullmatch(raw) else None


def _number(raw: bytes | None) -> int:
    """Read a number as Redis keeps it; 0 where there is none."""
    return whole_number(raw) or 0
