"""The schedule of retraining: that runs begin when they are due, and end well."""

from collections.abc import Iterator
from typing import cast

from tidecast.doctor.finding import Case, Finding
from tidecast.moments import utc_text
from tidecast.retraining import Choice, choose_schedule
from tidecast.settings import NEVER

GRACE_MS = 60_000  # beyond the jitter: how late a run may begin
OR_NEVER = f'or set retrain.every = "{NEVER}"'
REMEDY = "start a worker or `tidecast retrain --daemon` with this schedule, and look into its log"


def overdue(case: Case) -> Iterator[Finding]:
    """No run is late, and the last one did not fail."""
    if case.settings.retrain.every == NEVER:
        return
    unkept = []
    for keys in case.partitions():
        if case.redis.type(keys.retrain) not in (b"none", b"hash"):
            continue  # which `types` tells
        record = cast("dict[bytes, bytes]", case.redis.hgetall(keys.retrain))
        if record:
            yield from _of(record, case.server_ms(), 1000 * case.settings.retrain.jitter_s)
        else:
            unkept.append(keys.retrain)
    if unkept:
        yield _unkept(unkept, choose_schedule(case.settings))


def _unkept(keys: list[str], choice: Choice) -> Finding:
    """Return the finding for partitions whose series nobody retrains."""
    place = f"{keys[0]} is empty" if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more are empty"
    if not choice.on:
        found = f"no models are retrained ({place}): {choice.why_off}"
        return Finding("schedule", "warning", found, f"{choice.remedy}, {OR_NEVER}")
    if choice.by_default:
        return Finding("schedule", "warning", f"no models are retrained ({place})", f"{REMEDY}, {OR_NEVER}")
    return Finding("schedule", "warning", f"a schedule is set, but nobody keeps it ({place})", REMEDY)


def _of(record: dict[bytes, bytes], now_ms: int, jitter_ms: float) -> Iterator[Finding]:
    state, numbers = record.get(b"state", b"").decode(), {name: int(record.get(name, 0)) for name in _TIMES}
    if state == "running" and numbers[b"expires_ms"] < now_ms:
        found = f"the run due at {utc_text(numbers[b'due_ms'])} has begun, and whoever ran it has been silent"
        yield Finding("schedule", "wrong", found, REMEDY)
    elif state != "running":
        at_ms = numbers[b"retry_ms"] if state == "waiting" else numbers[b"next_ms"]
        if at_ms + GRACE_MS + jitter_ms < now_ms:
            late_s = (now_ms - at_ms) / 1000
            yield Finding("schedule", "wrong", f"the run due at {utc_text(at_ms)} is {late_s:.0f} s overdue", REMEDY)
    if state == "failed":
        found = f"the last run of the schedule, due at {utc_text(numbers[b'due_ms'])}, has failed"
        yield Finding("retraining", "warning", found, "`tidecast events --since 0` says why")


_TIMES = (b"expires_ms", b"due_ms", b"retry_ms", b"next_ms")
