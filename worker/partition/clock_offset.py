"""By how much the worker's clock is ahead of the ids of readings, which are times by the clock of Redis."""

import math
import time
from collections.abc import Callable

PROMPT_S = 1.0  # a reading that arrives so soon after a read without any shows by how much the clocks differ
JUMP_S = 1.0  # a clock that moved by so much against one that only counts was set


class ClockOffset:
    """The offset between the worker's clock and the ids, by the readings that were read.

    Args:
        clock: returns epoch seconds.
        monotonic: returns seconds of a clock that nobody sets.
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._difference_s = clock() - monotonic()  # it only changes if the clock is set
        self._moved_s = 0.0  # by how much it was set last
        self._ms: float | None = None  # by how much the clock is ahead, or less; None: not known
        self._waited_at = -math.inf

    def forget(self) -> None:
        """Forget the readings."""
        self._ms = None
        self._waited_at = -math.inf

    def waited(self, read_at: float) -> None:
        """Note when a read ended without readings, in epoch seconds."""
        self._waited_at = read_at

    def compare(self, read_at: float, newest_ms: int) -> None:
        """Note by how much the clock is ahead of the newest reading that was just read.

        A reading that had to wait shows only that it is not further ahead. One for which the worker waited shows by how
        much it is: either clock may have been set since.
        """
        ahead_ms = read_at * 1000 - newest_ms
        if self._was_set_since(read_at):
            return
        if self._ms is None or ahead_ms < self._ms or 0 <= read_at - self._waited_at < PROMPT_S:
            self._ms = ahead_ms

    def of_ids_ms(self, now: float) -> int | None:
        """Return the time by the clock of the ids; None if the worker's clock was set after `now`.

        Args:
            now: epoch seconds by the worker's clock.
        """
        return None if self._was_set_since(now) else round(now * 1000 - (self._ms or 0))

    def _was_set_since(self, at: float) -> bool:
        """Return whether the clock was set after it showed this time; the offset is then that of the new time."""
        clock_s = self._clock()
        difference_s = clock_s - self._monotonic()
        moved_s = difference_s - self._difference_s
        self._difference_s = difference_s
        if abs(moved_s) >= JUMP_S:
            self._moved_s = moved_s
            self._waited_at = -math.inf
            if self._ms is not None:
                self._ms += 1000 * moved_s
        return self._moved_s != 0.0 and abs(at - clock_s + self._moved_s) < abs(at - clock_s)
