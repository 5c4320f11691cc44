"""Compute the backlog of a partition: unread readings, and readings that were trimmed before they were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidecast.online.batch import Entry
from tidecast.wire import id_pair


@dataclass(frozen=True, slots=True)
class Progress:
    """The position of a partition in its stream.

    Attributes:
        last: the id of the last committed entry.
        read: how many of the entries that the stream has counted lie up to `last` (from Redis 7 on).
    """

    last: str
    read: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog behind a batch that was read.

    Attributes:
        lost: readings trimmed before they were read (from Redis 7 on; before it, 0).
        waiting: readings not read yet (from Redis 7 on); None if they cannot be counted.
        behind_s: how much older the last reading read is than the newest, by their ids, in seconds.
        shift: the correction of `Progress.read`. If it is below 0, the stream has counted fewer entries than were read:
            it was deleted and recreated, or Redis was upgraded and began to count.
    """

    lost: int = 0
    waiting: int | None = 0
    behind_s: float = 0.0
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Anew:
    """A recreated stream of readings: its ids end before the last one answered.

    Attributes:
        first: the id of its first entry.
        newest: the id of its last entry.
        waiting: the number of its entries; none was read.
        in_the_way: output streams with ids that are not lower, so that the readings' ids cannot be used there.
    """

    first: str
    newest: str
    waiting: int
    in_the_way: tuple[str, ...] = ()

    @property
    def backlog(self) -> Backlog:
        """Return its backlog: all entries are unread."""
        return Backlog(0, self.waiting, (id_pair(self.newest)[0] - id_pair(self.first)[0]) / 1000)


def backlog_of(info: Mapping[str, Any], progress: Progress, batch: Sequence[Entry]) -> Backlog:
    """Return the backlog behind a batch that was read after `progress`, from a later XINFO STREAM reply.

    Entries after `progress.last` can only be gone once no entry up to it is left. The entries of `batch` were read in
    time, even if they are trimmed by now.
    """
    newest = id_pair(info["last-generated-id"].decode())
    at = id_pair(batch[-1][0])
    behind_s = max(0, newest[0] - at[0]) / 1000
    if "entries-added" not in info:
        return Backlog(0, None, behind_s)
    unread = int(info["entries-added"]) - progress.read
    length = int(info["length"])
    first = id_pair(info["first-entry"][0].decode()) if info["first-entry"] else None
    if first is None or first > id_pair(progress.last):  # all remaining entries are unread
        in_time = sum(first is None or id_pair(entry_id) < first for entry_id, _ in batch)
        known = length + in_time
        return Backlog(max(0, unread - known), max(0, known - len(batch)), behind_s, min(0, unread - known))
    if id_pair(info["last-entry"][0].decode()) <= at:  # the batch holds the last entry: all counted entries are read
        return Backlog(0, 0, behind_s, unread - len(batch))
    return Backlog(0, unread - len(batch) if unread > len(batch) else None, behind_s)
