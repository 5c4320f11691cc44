"""What lies before the worker once it has read a batch, and what was trimmed away before it could be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidecast.online.batch import Entry


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition is.

    Attributes:
        last: the last entry committed.
        read: how many of the entries that the stream has counted lie up to there (from Redis 7 on).
    """

    last: str
    read: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies before the worker once it has read a batch.

    Attributes:
        lost: readings trimmed away before they were read (known from Redis 7 on; before it, 0).
        waiting: readings not yet read (from Redis 7 on; before it None); None where the stream's count does not say.
        behind_s: how much older the last reading read is than the newest, by their ids.
        shift: the correction of `Progress.read`. Below 0 the stream has counted fewer entries than were read: it was
            deleted and begun anew, or Redis was upgraded and began to count.
    """

    lost: int = 0
    waiting: int | None = 0
    behind_s: float = 0.0
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Anew:
    """A stream of readings whose ids end before the last one answered: it was deleted and begun anew.

    Attributes:
        first: its first entry.
        newest: its last one.
        waiting: how many it has; none was read.
        in_the_way: streams that hold ids which are not lower, so that nothing can be published under the readings' own.
    """

    first: str
    newest: str
    waiting: int
    in_the_way: tuple[str, ...] = ()

    @property
    def backlog(self) -> Backlog:
        """All of it waits."""
        return Backlog(0, self.waiting, (_pair(self.newest)[0] - _pair(self.first)[0]) / 1000)


def backlog_of(info: Mapping[str, Any], progress: Progress, batch: Sequence[Entry]) -> Backlog:
    """What lies beyond a batch that was read after `progress`, by what XINFO STREAM says at any time after that.

    Only once nothing up to `progress.last` is left can something after it be gone; what `batch` holds was read in
    time, even if it is trimmed by now.
    """
    newest, at = _pair(info["last-generated-id"].decode()), _pair(batch[-1][0])
    behind_s = max(0, newest[0] - at[0]) / 1000
    if "entries-added" not in info:
        return Backlog(0, None, behind_s)
    unread, length = int(info["entries-added"]) - progress.read, int(info["length"])
    first = _pair(info["first-entry"][0].decode()) if info["first-entry"] else None
    if first is None or first > _pair(progress.last):  # all that is left is unread
        in_time = sum(first is None or _pair(entry_id) < first for entry_id, _ in batch)
        known = length + in_time
        return Backlog(max(0, unread - known), max(0, known - len(batch)), behind_s, min(0, unread - known))
    if _pair(info["last-entry"][0].decode()) <= at:  # all that was counted is read with this batch
        return Backlog(0, 0, behind_s, unread - len(batch))
    return Backlog(0, unread - len(batch) if unread > len(batch) else None, behind_s)


def _pair(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)
