"""Check the retraining schedule: that runs start when they are due, and do not fail."""

from collections.abc import Iterator
from typing import cast

from tidecast.connection.partitions import whole_number
from tidecast.doctor.finding import Case, Finding
from tidecast.moments import utc_text
from tidecast.schedule_choice import ScheduleChoice, choose_schedule
from tidecast.settings import NEVER

GRACE_MS = 60_000  # how late a run may start, in addition to the jitter
OR_NEVER = f'or set retrain.every = "{NEVER}"'
REMEDY = "start a worker or `tidecast retrain --daemon` with this schedule, and check its log"


Record = dict[bytes, bytes]


def overdue(case: Case) -> Iterator[Finding]:
    """Check that runs are not late or too far ahead, and that the last one did not fail."""
    if case.settings.retrain.every == NEVER:
        return
    unkept = []
    for keys in case.partitions():
        if case.redis.type(keys.retrain) not in (b"none", b"hash"):
            continue  # reported by `types`
        record = cast("Record", case.redis.hgetall(keys.retrain))
        if record:
            yield from _late(record, case.server_ms(), 1000 * case.settings.retrain.jitter)
            yield from _ahead(record, keys.retrain, case.server_ms())
        else:
            unkept.append(keys.retrain)
    if unkept:
        yield _unkept(unkept, choose_schedule(case.settings))


def _unkept(keys: list[str], choice: ScheduleChoice) -> Finding:
    """Return the finding for partitions whose series are not retrained."""
    place = f"{keys[0]} is empty" if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more are empty"
    if not choice.on:
        problem = f"no models are retrained ({place}): {choice.why_off}"
        return Finding("schedule", "warning", problem, f"{choice.remedy}, {OR_NEVER}")
    if choice.by_default:
        return Finding("schedule", "warning", f"no models are retrained ({place})", f"{REMEDY}, {OR_NEVER}")
    return Finding("schedule", "warning", f"a schedule is set, but no program runs it ({place})", REMEDY)


def _late(record: Record, now_ms: int, jitter_ms: float) -> Iterator[Finding]:
    state = record.get(b"state", b"").decode(errors="replace")
    due = utc_text(_ms(record, b"due_ms"))
    if state == "running" and _ms(record, b"expires_ms") < now_ms:
        problem = f"the run due at {due} has begun, and its program has been silent"
        yield Finding("schedule", "error", problem, REMEDY)
    elif state != "running":
        at_ms = _ms(record, b"retry_ms" if state == "waiting" else b"next_ms")
        if at_ms + GRACE_MS + jitter_ms < now_ms:
            late_s = (now_ms - at_ms) / 1000
            yield Finding("schedule", "error", f"the run due at {utc_text(at_ms)} is {late_s:.0f} s overdue", REMEDY)
    if state == "failed":
        problem = f"the last run of the schedule, due at {due}, has failed"
        yield Finding("retraining", "warning", problem, "`tidecast events --since 0` shows why")


def _ahead(record: Record, key: str, now_ms: int) -> Iterator[Finding]:
    """Check for times further ahead than the schedule allows: until then, retraining would not run."""
    from worker.failures.stored_times import corrections
    from worker.retraining.job_state import TTL_S  # imported late: the schedule's modules import APScheduler
    from worker.retraining.triggers import timing_named

    expires_ms = _ms(record, b"expires_ms")
    if record.get(b"state") == b"running" and expires_ms > now_ms + 1000 * TTL_S:
        problem = f"the claim in {key} ends {utc_text(expires_ms)}, later than any claim may"
        yield Finding("schedule", "error", problem, REMEDY)
    timing = timing_named(record.get(b"trigger", b"").decode(errors="replace"))
    for field, stored, value in corrections(record, timing, now_ms) if timing else ():
        if (stored_ms := whole_number(stored)) is not None:  # otherwise reported by `stored_numbers`
            problem = f"{field} in {key} is {utc_text(stored_ms)}, which its schedule cannot have set"
            remedy = f"{REMEDY}: it corrects the time to {utc_text(value)}"
            yield Finding("schedule", "error", problem, remedy)


def _ms(record: Record, name: bytes) -> int:
    return whole_number(record.get(name)) or 0
