"""Check stored times against limits, since a wrong one could stop a worker for years.

A person, another program or a worker with a wrong clock may have written it. A time that no worker can have written is
replaced and logged.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import structlog

from tidecast.connection.partitions import whole_number
from tidecast.durations import DAY_MS

if TYPE_CHECKING:
    from worker.retraining.triggers import (
        Timing,
    )  # imports APScheduler, which a worker without a schedule does not need

CLOCKS_MS = 60_000  # largest allowed difference between the clocks of two workers
SET_BACK_MS = DAY_MS  # how far a clock may be set back; the last run's due time may then lie in the future
UNENDED = (b"running", b"waiting")

log = structlog.get_logger("tidecast.worker")


class Correction(NamedTuple):
    """A correction of one implausible field in the schedule's record.

    Attributes:
        field: the name of the field.
        stored: the text that was read; empty if the field is missing.
        value: the new time, in epoch milliseconds.
    """

    field: str
    stored: bytes
    value: int


def corrections(record: Mapping[bytes, bytes], timing: "Timing", now_ms: int) -> list[Correction]:
    """Return corrections for times in a partition's record that lie too far ahead or are not numbers.

    The next due time is at most that of a schedule which starts now. A retry is at most the longest pause ahead. The
    due time of a run that has started is not after now.
    """
    state = record.get(b"state", b"")
    due_ms = whole_number(record.get(b"due_ms"))
    last_ms = due_ms if due_ms is not None and 0 <= due_ms <= now_ms + SET_BACK_MS else None
    bounds = []
    if state in UNENDED:
        bounds.append(("due_ms", now_ms + SET_BACK_MS, now_ms))
    if state == b"waiting":
        retry_ms = now_ms + timing.longest_pause_ms(last_ms or now_ms)
        bounds.append(("retry_ms", retry_ms + CLOCKS_MS, retry_ms))
    next_ms = timing.first(now_ms) if last_ms is None else timing.after(last_ms, now_ms)
    bounds.append(("next_ms", max(next_ms, timing.first(now_ms + CLOCKS_MS)), next_ms))
    return [
        Correction(field, stored, value)
        for field, latest, value in bounds
        if not _is_believed(stored := record.get(field.encode(), b""), latest)
    ]


def _is_believed(stored: bytes, latest_ms: int) -> bool:
    number = whole_number(stored)
    return number is not None and 0 <= number <= latest_ms


def log_correction(place: str, stored: bytes, instead: str) -> None:
    """Log that a stored time or number is implausible, and which value replaces it."""
    log.warning("stored value not believed", place=place, stored=stored.decode(errors="backslashreplace"), used=instead)
