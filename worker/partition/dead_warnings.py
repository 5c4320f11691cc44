"""Log a warning about readings that could not be answered: at once, then one a minute for all of that minute."""

from collections import Counter
from collections.abc import Sequence

import structlog

from tidecast.wire import DeadLetter

WARN_EVERY_S = 60.0
MOST_SHOWN = 3  # pairs of a series and a reason in a line, the most frequent first
LONGEST_NAME = 60  # characters of a series' name
MOST_COUNTED = 1000  # pairs that are counted one by one

log = structlog.get_logger("tidecast.worker")


class DeadLetterWarnings:
    """The dead letters of one partition that no line of the log has counted yet.

    Args:
        partition: its number.
    """

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._warned_at = -WARN_EVERY_S
        self._counts: Counter[tuple[str, str]] = Counter()
        self._newest: DeadLetter | None = None

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """Count committed dead letters."""
        for letter in letters:
            pair = (letter.series[:LONGEST_NAME], letter.reason)
            if pair not in self._counts and len(self._counts) >= MOST_COUNTED:
                pair = ("other series", letter.reason)
            self._counts[pair] += 1
            self._newest = letter

    def warn(self, now: float) -> None:
        """Log those that were counted since the last line, if it is a minute ago; `now` is in epoch seconds."""
        if self._newest is None or 0 <= now - self._warned_at < WARN_EVERY_S:
            return
        most = self._counts.most_common(MOST_SHOWN)
        some = [f"{count} {reason} of {series or 'no series'}" for (series, reason), count in most]
        log.warning(
            "readings rejected",
            partition=self._partition,
            count=self._counts.total(),
            some=some,
            newest=self._newest.id,
            detail=self._newest.detail,
            remedy="`tidecast dead` lists them",
        )
        self._warned_at = now
        self._counts.clear()
        self._newest = None
