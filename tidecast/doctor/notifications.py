"""Check that events are posted: whether a process does it, whether the receiver takes them, and how far it lags."""

from collections.abc import Iterator
from typing import cast

from tidecast.connection.partitions import PIECE
from tidecast.connection.records.notify_record import NotifyRecord, notify_key, read_record
from tidecast.doctor.finding import Case, Finding, id_ms
from tidecast.doctor.keys import wrong_type
from tidecast.moments import utc_text

Entries = list[tuple[bytes, dict[bytes, bytes]]]
WAITED_MS = 120_000  # how long an event may wait, in addition to `notify.group_wait`
REFUSED_MS = 24 * 3_600_000  # how long an event that was refused, or may be lost, is reported
TEST = "`tidecast notify --test` tries the address"


def notifications(case: Case) -> Iterator[Finding]:
    """Check that events reach the address in `notify.url`, wherever that is set."""
    if wrong := list(wrong_type(case, notify_key(case.settings.namespace), "hash")):
        yield from wrong
        return
    record = read_record(case.redis, case.settings.namespace)
    has_address = bool(case.settings.notify.url.get_secret_value())
    if record is None or record.expires_ms < case.server_ms():
        if has_address:
            problem = "notify.url is set, but no process posts events"
            yield Finding("notifications", "error", problem, "start `tidecast notify` with these settings")
        return
    if record.refused_ms > case.server_ms() - REFUSED_MS:
        problem = f"an event was refused, and is not posted again, at {utc_text(record.refused_ms)}: {record.refusal}"
        remedy = f"correct notify.format or the receiver; the log of `tidecast notify` names the events, {TEST}"
        yield Finding("notifications", "error", problem, remedy)
    if record.gap_ms > case.server_ms() - REFUSED_MS:
        problem = f"events may have been trimmed before they were posted, as found at {utc_text(record.gap_ms)}"
        remedy = "raise worker.events_kept and notify.rate, and let a process of `tidecast notify` run all the time"
        yield Finding("notifications", "warning", problem, remedy)
    if record.failing_since_ms:
        problem = f"events have not been delivered since {utc_text(record.failing_since_ms)}: {record.error}"
        yield Finding("notifications", "error", problem, f"correct notify.url or the receiver; {TEST}")
    elif (oldest_ms := _oldest_ms(case, record)) is not None:
        waited_ms = case.server_ms() - oldest_ms
        if waited_ms > WAITED_MS + 1000 * case.settings.notify.group_wait:
            problem = f"the oldest event that is to be posted has waited since {utc_text(oldest_ms)}"
            remedy = f"raise notify.rate, or check the log of `tidecast notify`; {TEST}"
            yield Finding("notifications", "warning", problem, remedy)


def _oldest_ms(case: Case, record: NotifyRecord) -> int | None:
    """Return when the oldest event that is still to be posted was written; None if no event waits."""
    kinds = {kind.encode() for kind in case.settings.notify.kinds}
    oldest = []
    for keys in case.partitions():
        last = record.after.get(keys.events)
        entries = cast("Entries", case.redis.xrange(keys.events, f"({last}", count=PIECE)) if last else []
        oldest += [id_ms(entry_id) for entry_id, fields in entries if fields.get(b"kind") in kinds][:1]
    return min(oldest, default=None)
