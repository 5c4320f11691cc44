"""What lies before the worker once it has read a batch, and what was trimmed away before it could be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.outcome import Entry


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the partition is: the last entry committed, and how many entries that makes since the beginning."""

    last: str
    read: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies before the worker once it has read a batch.

    Attributes:
        lost: readings trimmed away before they were read (known from Redis 7 on; before it, 0).
        waiting: readings not yet read (from Redis 7 on; before it None).
        behind_s: how much older the last reading read is than the newest, by their ids.
    """

    lost: int = 0
    waiting: int | None = 0
    behind_s: float = 0.0


def backlog_of(info: Mapping[str, Any], progress: Progress, batch: Sequence[Entry]) -> Backlog:
    """What lies beyond a batch that was read after `progress`, by what XINFO STREAM says at any time after that.

    Only once nothing up to `progress.last` is left can something after it be gone; what `batch` holds was read in
    time, even if it is trimmed by now.
    """
    newest, at = _pair(info["last-generated-id"].decode()), _pair(batch[-1][0])
    behind_s = max(0, newest[0] - at[0]) / 1000
    if "entries-added" not in info:
        return Backlog(0, None, behind_s)
    added, length = int(info["entries-added"]), int(info["length"])
    first = _pair(info["first-entry"][0].decode()) if info["first-entry"] else None
    lost = 0
    if first is None or first > _pair(progress.last):
        in_time = sum(first is None or _pair(entry_id) < first for entry_id, _ in batch)
        lost = max(0, added - progress.read - length - in_time)
    return Backlog(lost, max(0, added - progress.read - lost - len(batch)), behind_s)


def _pair(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)
