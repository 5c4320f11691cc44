"""A reading that kills the process is found by halving, and set aside: it must not stop its partition for ever."""

from collections.abc import Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from tidecast.errors import StreamError, TidecastError
from tidecast.online.batch import Entry, Outcome
from tidecast.wire import DeadLetter
from worker.partition.stream import Stream

MAX_TRIES = 3  # of a single reading: after them it is blamed


class PauseNeeded(TidecastError):  # noqa: N818 - it is a request
    """The last try of a reading is due: workers that die one after the other for another reason need time to end."""


class Caution:
    """How many readings are handled at once where the worker before did not come to its commit.

    While it lasts, every batch is written down in Redis before it is handled; a worker that finds its own place there
    knows that the one before died over that batch, and takes half of it. After as many readings as a batch holds have
    gone well it ends, and costs nothing.
    """

    def __init__(self, stream: Stream, batch: int) -> None:
        self._stream = stream
        self._batch = batch
        self._left = 0  # readings to go
        self._size = batch
        self._noted = False  # whether a batch is written down
        self._paused = False  # whether the pause before the last try of a reading is over

    @property
    def awake(self) -> bool:
        """Whether what comes next is written down before it is handled."""
        return self._left > 0

    def begin(self) -> None:
        """Be careful with what comes next."""
        self._left, self._size = self._batch, self._batch

    def end(self) -> None:
        """Trust again: the partition is another's, or was given up in peace."""
        self._left, self._paused = 0, False

    def choose(self, epoch: int, started_from: str, entries: Sequence[Entry]) -> tuple[Sequence[Entry], Outcome | None]:
        """The readings to handle now; and what becomes of them where that must not be tried once more.

        Raises:
            Fenced: another worker has the partition.
            PauseNeeded: the next call is to come after a pause.
        """
        if not self.awake:
            return entries, None
        pause_before = 0 if self._paused else MAX_TRIES
        attempt = self._stream.attempt(epoch, started_from, min(self._size, len(entries)), pause_before)
        self._paused = attempt.tries == 0
        if self._paused:
            raise PauseNeeded(f"workers ended {MAX_TRIES - 1} times while they handled {entries[0][0]} alone")
        self._noted = True
        chosen, self._size = entries[: attempt.size], attempt.size
        self._left -= attempt.size
        return chosen, _set_aside(chosen[0]) if attempt.tries > MAX_TRIES else None

    def acquit(self, epoch: int) -> None:
        """Blame no reading for a commit that was refused: handling them came to its end."""
        if self._noted:
            self._noted = False
            with suppress(StreamError, RedisError):  # the lease is another's, or Redis away: the next worker tries half
                self._stream.acquit(epoch)


def _set_aside(entry: Entry) -> Outcome:
    entry_id, fields = entry
    detail = (
        f"the worker ended or failed {MAX_TRIES} times while it handled this reading alone, the last time after a "
        "pause: look into its log, and report the reading; or push it again if something else ended the worker"
    )
    outcome = Outcome(entry_id, dead=[DeadLetter(entry_id, "poison", detail, fields)])
    outcome.counts["dead"] = 1
    return outcome
