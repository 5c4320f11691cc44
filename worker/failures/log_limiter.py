"""Limit how often equal failures are logged: the first at once, later ones less and less often."""

import time
from collections.abc import Callable
from dataclasses import dataclass

INTERVALS_S = (5.0, 600.0)  # between the first two lines of a failure, and the limit; doubled after each line
FORGET_S = 60.0  # a failure that was absent for this long, or for its own interval, counts as new
MOST = 1024  # most failures that are remembered: each of 256 partitions may have some of its own


@dataclass(slots=True)
class _Seen:
    """A failure: when it was last logged and last seen, in clock seconds, and the count since the last log line."""

    logged_at: float
    seen_at: float
    interval_s: float
    times: int = 0


class LogLimiter:
    """A counter of equal failures, which decides when to log them.

    Args:
        clock: returns seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def count(self, failure: str) -> int:
        """Count a failure; return how often it has happened since it was last logged, 0 if it must not be logged."""
        now = self._clock()
        former = self._seen.get(failure)
        if former is None or now - former.seen_at >= max(FORGET_S, former.interval_s):
            self._seen.pop(failure, None)
            self._seen[failure] = _Seen(now, now, INTERVALS_S[0])
            if len(self._seen) > MOST:
                del self._seen[next(iter(self._seen))]
            return 1
        former.seen_at = now
        former.times += 1
        if now - former.logged_at < former.interval_s:
            return 0
        times = former.times
        self._seen[failure] = _Seen(now, now, min(INTERVALS_S[1], 2 * former.interval_s))
        return times
