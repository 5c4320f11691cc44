"""Follow streams, for both clients: the position, the handling of failed reads, and the end of an iteration."""

import logging
import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from redis import exceptions
from redis.exceptions import RedisError

from tidecast.client.contents import Contents
from tidecast.connection import explain
from tidecast.connection.cluster import StreamReply
from tidecast.connection.merging import StreamEntry, in_order_of_time
from tidecast.connection.portion import Portion
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import Layout, id_pair
from tidecast.wire.known import known_keys

T = TypeVar("T")
OLDEST, NEXT = "0-0", "$"
AT_ONCE = 1000  # entries of one read
LONGEST_READ_MS = 60_000  # the connection is checked at least so often
PAUSES_S = (0.05, 1.0)  # the first and the longest pause between two attempts
_LONGEST_ID_PART = 2**64
_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")
_FLEETING = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.MasterDownError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)
_LASTING = (exceptions.AuthenticationError, exceptions.AuthorizationError)  # subclasses of ConnectionError
_log = logging.getLogger("tidecast.client")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an iteration waits, as its caller gives it; see `Client.forecasts`."""

    block_ms: int
    stop_when_idle: bool
    give_up_s: float | None

    def check(self) -> None:
        """Check the values.

        Raises:
            SettingsError: one is out of range.
        """
        if not _is_number(self.block_ms) or not 1 <= self.block_ms < math.inf:
            raise SettingsError(f"block_ms is {self.block_ms!r}: give the milliseconds to wait, 1 or more")
        if self.give_up_s is not None and not (_is_number(self.give_up_s) and self.give_up_s >= 0):
            raise SettingsError(
                f"give_up_s is {self.give_up_s!r}: give the seconds that Redis may be away, or None for ever"
            )


@dataclass(slots=True)
class Following(Generic[T]):
    """The progress of one iteration over streams; the clients read the entries.

    Attributes:
        kind: the streams that are followed: `forecasts`, `events` or `dead`.
        since: the entry id after which to begin.
        contents: decodes the entries, and chooses among them.
        block_ms: how long no entry may come before the iteration ends, with `stop_when_idle`.
        slice_ms: how long one read waits, which is shorter than the time limit of a command.
        stop_when_idle: whether the iteration ends when it is idle.
        give_up_s: how long Redis may be away before its error is raised.
        over: whether the iteration has ended.
        portion: how many entries to read at once.
    """

    kind: str
    since: str
    contents: Contents[T]
    block_ms: int
    slice_ms: int
    stop_when_idle: bool
    give_up_s: float
    over: bool = False
    portion: Portion = field(default_factory=lambda: Portion(AT_ONCE))
    position: dict[str, str] = field(default_factory=dict)  # by stream, the id of the last returned entry
    _generations: list[list[str]] = field(default_factory=list)  # the streams that are not read to their ends
    _followed: int = 0  # how many generations there were
    _common: list[str] = field(default_factory=list)  # streams of no partition
    _unread: deque[StreamEntry] = field(default_factory=deque)
    _gap_reported: bool = False  # since the last read that caught up
    _idle_ms: int = 0
    _failures: int = 0
    _failing_since: float = math.nan  # monotonic seconds; NaN before the first failure

    def follow(self, layout: Layout) -> None:
        """Follow the streams of a layout, once those of the former ones are read to their ends.

        They get no entry any more: a layout is valid only when the partitions before it are closed.
        """
        generations = layout.generations()
        begins = not self._followed
        for number in range(self._followed, len(generations)):
            if begins and self.since == NEXT and number < layout.generation:
                continue
            streams = [getattr(keys, self.kind) for keys in generations[number]]
            self._generations.append(streams)
            self.position |= dict.fromkeys(streams, self.since if begins else OLDEST)
        if begins and self.kind == "dead":
            self._common = [known_keys(layout.namespace)[1]]
            self.position |= dict.fromkeys(self._common, self.since)
        self._followed = len(generations)

    @property
    def reading(self) -> dict[str, str]:
        """Return the streams to read now, each with the id after which it is read."""
        return {stream: self.position[stream] for stream in (*self._generations[0], *self._common)}

    @property
    def wait_ms(self) -> int:
        """Return how long one read waits."""
        return self.slice_ms if len(self._generations) == 1 else 1

    def took(self, reply: StreamReply, count: int) -> None:
        """Store a reply of at most `count` entries a stream; end the iteration if it has been idle for long enough."""
        if self.over:  # another thread or task has ended the iteration during the read
            return
        if reply:
            self.portion.went_well()
        if self.contents.by_time:
            self._unread.extend(in_order_of_time(reply, count))
        else:
            self._unread.extend((key.decode(), *entry) for key, entries in reply for entry in entries)
        if not reply and len(self._generations) > 1:
            del self._generations[0]
            return
        self._idle_ms = 0 if reply else self._idle_ms + self.slice_ms
        if self.stop_when_idle and self._idle_ms >= self.block_ms:
            self.over = True

    def has_next(self) -> bool:
        """Return whether a wanted entry was read and not returned yet; move the position past the others before it."""
        while self._unread and not self.contents.wanted(self._unread[0][2]):
            key, entry_id, _ = self._unread.popleft()
            self.position[key] = entry_id.decode()
        return bool(self._unread)

    def next_item(self) -> T:
        """Return the next entry as an item, and move the position past it.

        Raises:
            StreamError: the entry was not written by Tidecast; the next call continues after it.
        """
        key, entry_id, fields = self._unread.popleft()
        self.position[key] = entry_id.decode()
        return self.contents.decode(entry_id, fields)

    def end(self) -> None:
        """End the iteration, and drop entries that were already read."""
        self._unread.clear()
        self.over = True

    def pause_s(self, exc: RedisError, now: float) -> float:
        """Return how long to wait before a failed read is tried again.

        Raises:
            RedisError: another attempt would not help, or Redis has been away for too long.
        """
        if not _is_fleeting(exc):
            raise exc
        self._failures += 1
        if self._failures == 1:  # the connection was closed while idle: a new one is opened at once
            self._failing_since = now
            return 0.0
        self.portion.refused()  # perhaps Redis closes the connection because of too many entries
        if now - self._failing_since >= self.give_up_s:
            self._failures = 0
            raise exc
        if self._failures == 2:
            _log.warning("Redis does not answer, trying again until it does: %s", explain(exc))
        return min(PAUSES_S[0] * 2.0 ** min(self._failures - 2, 10), PAUSES_S[1])

    def may_have_gap(self, reply: StreamReply, count: int, now: float) -> bool:
        """Note a read of at most `count` entries a stream that succeeded; return whether to look for trimmed ones."""
        # Both are computed: a reader that lags may lose entries to trimming as well as one whose connection was closed.
        return self._reconnected(now) | self._lags(reply, count)

    def _reconnected(self, now: float) -> bool:
        """Return whether the read that has just succeeded is the first after a failure."""
        if not self._failures:
            return False
        if self._failures > 1:
            _log.warning("Redis is back after %.1f s: going on where it broke off", now - self._failing_since)
        self._failures = 0
        return True

    def _lags(self, reply: StreamReply, count: int) -> bool:
        """Return whether to look for trimmed entries: as many as `count` were waiting, and no gap is reported yet."""
        full = any(len(entries) >= count for _, entries in reply)
        self._gap_reported = self._gap_reported and full
        return full and not self._gap_reported

    def report_gap(self, key: str, info: Mapping[str, Any]) -> None:
        """Log a warning if entries of a stream were trimmed before they were read; `info` is from XINFO."""
        self._gap_reported = warn_of_gap(key, self.position[key], info) or self._gap_reported

    def from_now_on(self) -> list[str]:
        """Return the streams whose position is not an entry id yet, but the present moment."""
        return [key for key, last in self.position.items() if last == NEXT]

    def with_an_id(self) -> list[str]:
        """Return the streams whose position is an entry id; the entries after it may have been trimmed."""
        return [key for key, last in self.reading.items() if last not in (OLDEST, "0", NEXT)]


def following(
    settings: Settings, kind: str, since: str | int, contents: Contents[T], patience: Patience
) -> Following[T]:
    """Return the progress of an iteration that begins.

    Raises:
        SettingsError: an argument is out of range.
    """
    patience.check()
    block_ms = int(patience.block_ms)
    longest_ms = max(1, round(min(settings.redis_timeout * 500, LONGEST_READ_MS)))
    give_up_s = patience.give_up_s
    if give_up_s is None:
        give_up_s = max(settings.redis_timeout, patience.block_ms / 1000) if patience.stop_when_idle else math.inf
    slice_ms = min(block_ms, longest_ms)
    return Following(kind, position_of(since), contents, block_ms, slice_ms, patience.stop_when_idle, give_up_s)


def position_of(since: str | int) -> str:
    """Return a user's `since` as an entry id.

    Raises:
        SettingsError: `since` is not an entry id.
    """
    text = str(since) if isinstance(since, str | int) and not isinstance(since, bool) else ""
    if text != NEXT and not (_ID.fullmatch(text) and max(id_pair(text)) < _LONGEST_ID_PART):
        raise SettingsError(
            f"since is {since!r}: give an entry id such as 1700000000000-0, 0 (the oldest) or $ (new ones)"
        )
    return text


def warn_of_gap(key: str, last: str, info: Mapping[str, Any]) -> bool:
    """Log a warning if entries after `last` have been trimmed, or if all entries are before it; return whether."""
    newest = info["last-generated-id"]
    if id_pair(last) > id_pair(newest):
        _log.warning(
            "%s ends at %s, before %s: iterate again from 0, or wait for higher ids", key, newest.decode(), last
        )
        return True
    first = info["first-entry"]
    gone = _may_have_lost(last, info)
    if gone:
        begins = f"begins at {first[0].decode()}" if first else "is empty"
        _log.warning("%s %s: entries after %s may have been trimmed unread", key, begins, last)
    return gone


def _may_have_lost(last: str, info: Mapping[str, Any]) -> bool:
    """Return whether entries after `last` may have been removed from a stream; `info` is from XINFO."""
    if id_pair(info.get("max-deleted-entry-id", OLDEST)) > id_pair(last):  # trimming does not change this id
        return True
    first = info["first-entry"]
    if first is not None and id_pair(first[0]) <= id_pair(last):
        return False
    added = info.get("entries-added")  # from Redis 7 on
    if added is not None:
        return int(added) > int(info["length"])
    return id_pair(last)[1] < _LONGEST_ID_PART - 1  # else it is a time, where the stream may not have begun yet


def newest_id(entries: Any) -> str:
    """Return the id of the newest entry in a reply to XREVRANGE."""
    return str(entries[0][0].decode()) if entries else OLDEST


def _is_fleeting(exc: RedisError) -> bool:
    if isinstance(exc, _LASTING):
        return False
    return isinstance(exc, _FLEETING) or str(exc).startswith("BUSY ")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
