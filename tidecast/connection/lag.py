"""The lag of a partition: how many readings wait, and how many were trimmed before they were read.

This is the only definition; worker, status, doctor and dashboard use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidecast.wire import id_pair


@dataclass(frozen=True, slots=True)
class Progress:
    """The position of a partition in its stream of readings.

    Attributes:
        last: the id of the last committed entry.
        read: how many of the entries that the stream has counted lie up to `last` (from Redis 7 on).
    """

    last: str
    read: int


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of a partition.

    Attributes:
        unread: readings not read yet; None if Redis does not count them (before version 7), or counts otherwise.
        lost: readings trimmed before they were read (from Redis 7 on; before it, 0).
        behind_s: how much older the last reading read is than the newest, by their ids, in seconds.
        correction: to add to `Progress.read`. If it is below 0, the stream has counted fewer entries than were read: it
            was deleted and recreated, or Redis was upgraded and began to count.
    """

    unread: int | None = 0
    lost: int = 0
    behind_s: float = 0.0
    correction: int = 0


def lag_of(info: Mapping[str, Any] | None, progress: Progress, batch: Sequence[str] = ()) -> Lag:
    """Return the lag of a partition.

    Entries after `progress.last` can only be gone once no entry up to it is left. The entries of a batch were read in
    time, even if they are trimmed by now.

    Args:
        info: the reply to XINFO STREAM; None without a stream.
        progress: up to where readings are committed.
        batch: the ids of the entries that were read since, before `info`.
    """
    if info is None:
        return Lag()
    length = int(info["length"])
    first, end = (id_pair(entry[0]) if entry else None for entry in (info["first-entry"], info["last-entry"]))
    last = id_pair(progress.last)
    at = id_pair(batch[-1]) if batch else last
    newest = id_pair(info["last-generated-id"])
    if first and not batch and was_recreated(info, progress.last):
        return Lag(length, behind_s=(newest[0] - first[0]) / 1000)
    behind_s = max(0, newest[0] - at[0]) / 1000
    added = info.get("entries-added")
    since = None if added is None else int(added) - progress.read
    if first is None or end is None or first > last:  # all remaining entries are unread
        in_time = sum(first is None or id_pair(entry_id) < first for entry_id in batch)
        known = length + in_time
        missing = 0 if since is None else since - known
        return Lag(max(0, known - len(batch)), max(0, missing), behind_s, min(0, missing))
    if end <= at:  # the stream holds nothing newer: all counted entries are read
        return Lag(0, 0, behind_s, 0 if since is None else since - len(batch))
    unread = 0 if since is None else min(since - len(batch), length)
    return Lag(unread if unread > 0 else None, 0, behind_s)


def was_recreated(info: Mapping[str, Any], last: str) -> bool:
    """Return whether a stream, by its XINFO, was deleted and created again with ids before `last`, the offset."""
    return bool(info["length"]) and id_pair(info["last-generated-id"]) < id_pair(last)
