"""Which of many equal failures are logged: the first at once, and then ever fewer."""

import time
from collections.abc import Callable
from dataclasses import dataclass

INTERVALS_S = (5.0, 600.0)  # from the first line of a failure to the second, doubled from line to line up to the last
FORGET_S = 60.0  # a failure that has not come back for so long, or for its own interval, is new again
MOST = 100  # different failures that are kept in mind


@dataclass(slots=True)
class _Seen:
    """A failure: when it was logged and seen last, in seconds of the clock, and how often since."""

    logged_at: float
    seen_at: float
    interval_s: float
    times: int = 0


class Repeats:
    """Counts equal failures.

    Args:
        clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def times(self, failure: str) -> int:
        """Count a failure; returns how often it has happened since it was last logged, 0 if it is not to be logged."""
        now = self._clock()
        seen = self._seen.get(failure)
        if seen is None or now - seen.seen_at >= max(FORGET_S, seen.interval_s):
            self._seen.pop(failure, None)
            self._seen[failure] = _Seen(now, now, INTERVALS_S[0])
            if len(self._seen) > MOST:
                del self._seen[next(iter(self._seen))]
            return 1
        seen.seen_at = now
        seen.times += 1
        if now - seen.logged_at < seen.interval_s:
            return 0
        times = seen.times
        self._seen[failure] = _Seen(now, now, min(INTERVALS_S[1], 2 * seen.interval_s))
        return times
