"""What Redis remembers of a partition's schedule: the run that is due or under way, and the next.

Every change is one script, the event that tells of it with it: whoever is killed at whatever moment, each due time has
one end, and one event says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from redis import Redis

from tidecast.connection.partitions import whole_number
from tidecast.moments import utc_text
from tidecast.wire import Keys
from worker.retraining.triggers import timing_named
from worker.scripts import script_of
from worker.stored import CLOCKS_MS, UNENDED, Correction, corrections, tell

LEFT_MS = 3_600_000  # a schedule whose run is overdue by more is no longer kept by anybody
TTL_S = 15.0  # how long a claim holds that nobody renews: then its holder is dead, and another goes on
AHEAD = (b"next_ms", b"retry_ms")  # the times at which a schedule comes back to its record


@dataclass(frozen=True, slots=True)
class Plan:
    """The record as a schedule sees it: what is due next, or has begun and not ended.

    Attributes:
        next_ms: the next due time.
        state: `running`, `waiting` for its next try, `finished` or `failed`; empty before the first run.
        due_ms: the due time of the run that this state is of.
        retry_ms: when a run that waits is tried again.
    """

    next_ms: int
    state: str = ""
    due_ms: int = 0
    retry_ms: int = 0

    @classmethod
    def of(cls, record: Mapping[bytes, bytes]) -> Self:
        """Read a record."""
        times = {name: whole_number(record.get(name.encode())) or 0 for name in ("next_ms", "due_ms", "retry_ms")}
        return cls(state=record.get(b"state", b"").decode(errors="replace"), **times)

    @property
    def unended(self) -> bool:
        """Whether a run has begun and not ended."""
        return self.state.encode() in UNENDED

    @property
    def claimable_ms(self) -> int:
        """The due time of the only run that may be claimed."""
        return self.due_ms if self.unended else self.next_ms

    @property
    def at_ms(self) -> int:
        """When there is something to do; 0: at once."""
        if self.state == "waiting":
            return self.retry_ms
        return 0 if self.unended else self.next_ms


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is ours: which, by what token, and which try it is."""

    due_ms: int
    token: str
    tries: int


@dataclass(frozen=True, slots=True)
class Busy:
    """A run that is another's, for so many seconds at least; 0: the record has moved on."""

    for_s: float


class Record:
    """One partition's record, a hash, and the stream of events beside it."""

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
        """Read the record; where nothing is written, or another trigger, the next due time is the one given.

        Args:
            trigger: the schedule's text.
            next_ms: its next due time, if it begins now.
            corrections: of what was read before, unless it has changed since.
        """
        args: list[Any] = [trigger, next_ms]
        for correction in corrections:
            args += correction
            tell(f"{self._keys.retrain} {correction.field}", correction.stored, utc_text(correction.value))
        flat = cast("list[bytes]", self._plan(keys=[self._keys.retrain], args=args))
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def other_trigger(self, trigger: str, now_ms: int) -> str:
        """Return the trigger of another schedule that is kept for the partition; empty if there is none."""
        record = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.retrain))
        other = record.get(b"trigger", b"").decode(errors="replace")
        timing = timing_named(other)
        if other == trigger or timing is None or corrections(record, timing, now_ms):
            return ""  # a time that the other schedule cannot have set is no sign of it
        times = [whole_number(record.get(name)) or 0 for name in AHEAD]
        claimed_ms = whole_number(record.get(b"expires_ms")) or 0
        if claimed_ms <= now_ms + self._ttl_ms + CLOCKS_MS:
            times.append(claimed_ms)
        return other if max(times) > now_ms - LEFT_MS else ""

    def claim(self, due_ms: int, token: str, missed: int) -> Claim | Busy:
        """Claim the run of a due time, and say that it has started; `missed` others went by before it."""
        also = f"; {_times(missed)} went by before it" if missed else ""
        detail = f"the run due at {utc_text(due_ms)} has started, try {{try}}{also}"
        args: list[Any] = [due_ms, token, self._owner, self._ttl_ms, self._kept, detail]
        tries, wait_ms, *cut = cast("list[Any]", self._claim(keys=self._both, args=args))
        for stored in cut:
            tell(f"{self._keys.retrain} expires_ms", stored, f"the claim ends {self.ttl_s:g} s from now")
        return Claim(due_ms, token, tries) if tries else Busy(wait_ms / 1000)

    def beat(self, claim: Claim) -> bool:
        """Keep the claim for another while; False if the run is no longer ours."""
        return bool(self._beat(keys=[self._keys.retrain], args=[claim.token, self._ttl_ms]))

    def finish(self, claim: Claim, said: str, next_ms: int, missed: int) -> bool:
        """Say that the run went to its end; `missed` due times went by until then. False if it is no longer ours."""
        return self._end(claim, "finished", f"has finished: {said}", next_ms, missed)

    def fail(self, claim: Claim, said: str, next_ms: int, missed: int) -> bool:
        """Say that the run is given up; see `finish`."""
        return self._end(claim, "failed", f"has failed: {said}", next_ms, missed)

    def put_off(self, claim: Claim, said: str, retry_ms: int) -> bool:
        """Say that this try has failed, and when the next one is."""
        return self._settled(claim, "again", retry_ms, said)

    def give_back(self, claim: Claim) -> bool:
        """Let another go on with the run at once; it costs none of its tries."""
        return self._settled(claim, "released", 0, "given back")

    @property
    def _both(self) -> list[str]:
        return [self._keys.retrain, self._keys.events]

    def _end(self, claim: Claim, outcome: str, said: str, next_ms: int, missed: int) -> bool:
        also = f"; {_times(missed)} went by meanwhile" if missed else ""
        return self._settled(claim, outcome, next_ms, f"the run due at {utc_text(claim.due_ms)} {said}{also}")

    def _settled(self, claim: Claim, outcome: str, at_ms: int, detail: str) -> bool:
        args: list[Any] = [claim.token, outcome, at_ms, self._kept, detail]
        return bool(self._settle(keys=self._both, args=args))


def _times(missed: int) -> str:
    return f"{missed} more due time{'s' if missed > 1 else ''}"
