"""The state of a partition's retraining job in Redis: the current run, and the next due time.

Every change and its event are written by one script. So each due time has one end and one event for it, even if a
process is killed at any moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from redis import Redis

from tidecast.connection.partitions import whole_number
from tidecast.durations import HOUR_MS
from tidecast.moments import utc_text
from tidecast.wire import Keys
from worker.failures.stored_times import CLOCKS_MS, UNENDED, Correction, corrections, log_correction
from worker.retraining.triggers import timing_named
from worker.scripts import script_of

LEFT_MS = HOUR_MS  # a schedule whose run is overdue by more than this is abandoned
TTL_S = 15.0  # lifetime of a claim without a renewal: after it the holder counts as dead, and another continues
AHEAD = (b"next_ms", b"retry_ms")  # the fields with the times of the next action


@dataclass(frozen=True, slots=True)
class Plan:
    """The parsed job state: the current run and the next due time, in epoch milliseconds.

    Attributes:
        next_ms: the next due time.
        state: `running`, `waiting` for its next try, `finished` or `failed`; empty before the first run.
        due_ms: the due time of the run with this state.
        retry_ms: when a waiting run is tried again.
    """

    next_ms: int
    state: str = ""
    due_ms: int = 0
    retry_ms: int = 0

    @classmethod
    def of(cls, record: Mapping[bytes, bytes]) -> Self:
        """Parse the fields of a record."""
        times = {name: whole_number(record.get(name.encode())) or 0 for name in ("next_ms", "due_ms", "retry_ms")}
        return cls(state=record.get(b"state", b"").decode(errors="replace"), **times)

    @property
    def unended(self) -> bool:
        """Whether a run has started and not ended."""
        return self.state.encode() in UNENDED

    @property
    def claimable_ms(self) -> int:
        """The due time of the only run that may be claimed."""
        return self.due_ms if self.unended else self.next_ms

    @property
    def at_ms(self) -> int:
        """The time of the next action; 0: at once."""
        if self.state == "waiting":
            return self.retry_ms
        return 0 if self.unended else self.next_ms


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed run: its due time, the token of the claim, and the number of the try."""

    due_ms: int
    token: str
    tries: int


@dataclass(frozen=True, slots=True)
class Busy:
    """A run that another owner holds for at least `for_s` seconds; 0: another run is due now."""

    for_s: float


class JobState:
    """The job state of one partition, a Redis hash, and its stream of events."""

    def __init__(self, redis: Redis, keys: Keys, owner: str, events_kept: int, ttl_s: float = TTL_S) -> None:
        self._redis = redis
        self._keys = keys
        self._owner = owner
        self._kept = events_kept
        self.ttl_s = ttl_s
        self._ttl_ms = round(ttl_s * 1000)
        self._plan = redis.register_script(script_of("plan"))
        self._claim = redis.register_script(script_of("claim"))
        self._beat = redis.register_script(script_of("beat"))
        self._settle = redis.register_script(script_of("settle"))

    def plan(self, trigger: str, next_ms: int, corrections: Sequence[Correction] = ()) -> dict[bytes, bytes]:
        """Read the record; set the next due time first if the record is empty or has another trigger.

        Args:
            trigger: the schedule's text.
            next_ms: its next due time, if it starts now.
            corrections: corrections of fields that were read before; a field that has changed since is left alone.
        """
        args: list[Any] = [trigger, next_ms]
        for correction in corrections:
            args += correction
            log_correction(f"{self._keys.retrain} {correction.field}", correction.stored, utc_text(correction.value))
        flat = cast("list[bytes]", self._plan(keys=[self._keys.retrain], args=args))
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def other_trigger(self, trigger: str, now_ms: int) -> str:
        """Return the trigger of another active schedule of the partition; empty without one."""
        record = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.retrain))
        other = record.get(b"trigger", b"").decode(errors="replace")
        timing = timing_named(other)
        if other == trigger or timing is None or corrections(record, timing, now_ms):
            return ""  # the other schedule cannot have set these times, so they do not prove that it is active
        times = [whole_number(record.get(name)) or 0 for name in AHEAD]
        claimed_ms = whole_number(record.get(b"expires_ms")) or 0
        if claimed_ms <= now_ms + self._ttl_ms + CLOCKS_MS:
            times.append(claimed_ms)
        return other if max(times) > now_ms - LEFT_MS else ""

    def claim(self, due_ms: int, token: str, missed: int) -> Claim | Busy:
        """Claim the run of a due time, and publish that it has started; `missed` due times passed before it."""
        also = f"; {_times(missed)} went by before it" if missed else ""
        detail = f"the run due at {utc_text(due_ms)} has started, try {{try}}{also}"
        args: list[Any] = [due_ms, token, self._owner, self._ttl_ms, self._kept, detail]
        tries, wait_ms, *cut = cast("list[Any]", self._claim(keys=self._both, args=args))
        for stored in cut:
            log_correction(f"{self._keys.retrain} expires_ms", stored, f"the claim ends {self.ttl_s:g} s from now")
        return Claim(due_ms, token, tries) if tries else Busy(wait_ms / 1000)

    def beat(self, claim: Claim) -> bool:
        """Renew the claim; return False if it was lost."""
        return bool(self._beat(keys=[self._keys.retrain], args=[claim.token, self._ttl_ms]))

    def finish(self, claim: Claim, detail: str, next_ms: int, missed: int) -> bool:
        """Record that the run has finished; `missed` due times passed meanwhile. Return False if the claim was lost."""
        return self._end(claim, "finished", f"has finished: {detail}", next_ms, missed)

    def fail(self, claim: Claim, detail: str, next_ms: int, missed: int) -> bool:
        """Record that the run has failed for good; see `finish`."""
        return self._end(claim, "failed", f"has failed: {detail}", next_ms, missed)

    def put_off(self, claim: Claim, detail: str, retry_ms: int) -> bool:
        """Record that this try has failed, and when the next one starts."""
        return self._settled(claim, "again", retry_ms, detail)

    def give_back(self, claim: Claim) -> bool:
        """Release the run, so that another owner can continue at once; this does not count as a try."""
        return self._settled(claim, "released", 0, "given back")

    @property
    def _both(self) -> list[str]:
        return [self._keys.retrain, self._keys.events]

    def _end(self, claim: Claim, outcome: str, detail: str, next_ms: int, missed: int) -> bool:
        also = f"; {_times(missed)} went by meanwhile" if missed else ""
        return self._settled(claim, outcome, next_ms, f"the run due at {utc_text(claim.due_ms)} {detail}{also}")

    def _settled(self, claim: Claim, outcome: str, at_ms: int, detail: str) -> bool:
        args: list[Any] = [claim.token, outcome, at_ms, self._kept, detail]
        return bool(self._settle(keys=self._both, args=args))


def _times(missed: int) -> str:
    return f"{missed} more due time{'s' if missed > 1 else ''}"
