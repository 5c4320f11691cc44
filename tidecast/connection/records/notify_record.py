"""The record in Redis of how far events are posted, which `tidecast notify` writes and the doctor reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from redis import Redis

from tidecast.connection.partitions import whole_number
from tidecast.wire import is_entry_id

AFTER = "after:"  # the beginning of the fields with positions; the name of the stream follows


def notify_key(namespace: str) -> str:
    """Return the key of the record, which all partitions share."""
    return f"{namespace}:notify" if namespace else "notify"


@dataclass(frozen=True, slots=True)
class NotifyRecord:
    """The position up to which events are posted, and the process that posts them.

    Attributes:
        owner: the process that has the right to post; empty if none.
        expires_ms: when its right ends, by the server's clock, epoch milliseconds.
        after: the id of the last event posted or passed over, by stream.
        sent_ms: when a message was last delivered; 0: never.
        failing_since_ms: since when messages are not delivered; 0: they are.
        error: the reason.
        refused_ms: when the receiver last refused an event for good; 0: never.
        refusal: the reason.
        gap_ms: when events were last found that may have been trimmed before they were posted; 0: never.
    """

    owner: str = ""
    expires_ms: int = 0
    after: Mapping[str, str] = field(default_factory=dict)
    sent_ms: int = 0
    failing_since_ms: int = 0
    error: str = ""
    refused_ms: int = 0
    refusal: str = ""
    gap_ms: int = 0


def read_record(redis: Redis, namespace: str) -> NotifyRecord | None:
    """Return the record; None if no process has posted events yet."""
    raw = cast("dict[bytes, bytes]", redis.hgetall(notify_key(namespace)))
    if not raw:
        return None
    text = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in raw.items()}
    after = {name.removeprefix(AFTER): value for name, value in text.items() if name.startswith(AFTER)}
    return NotifyRecord(
        text.get("owner", ""),
        whole_number(raw.get(b"expires_ms")) or 0,
        {key: value for key, value in after.items() if is_entry_id(value)},
        whole_number(raw.get(b"sent_ms")) or 0,
        whole_number(raw.get(b"failing_since_ms")) or 0,
        text.get("error", ""),
        whole_number(raw.get(b"refused_ms")) or 0,
        text.get("refusal", ""),
        whole_number(raw.get(b"gap_ms")) or 0,
    )
