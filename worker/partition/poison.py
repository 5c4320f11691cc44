"""Find a reading that kills the process by halving the batch, and set it aside so that the partition goes on."""

from contextlib import suppress

from redis.exceptions import RedisError

from tidecast.errors import StreamError, TidecastError
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.raw_entries import RawEntries
from tidecast.wire import DeadLetter
from worker.partition.stream import Stream

MAX_TRIES = 3  # a single reading is set aside after this many tries


class PauseNeeded(TidecastError):  # noqa: N818 - it is a request
    """The last try of a reading must wait: if the workers die for another reason, that may be over after a pause."""


class PoisonGuard:
    """A limit on the batch size after a worker died before its commit.

    While the limit is active, every batch is recorded in Redis before it is handled. A worker that finds a record of
    its own start position infers that the former worker died while handling it, and takes half of that batch. The
    limit ends after as many good readings as a batch holds; then it costs nothing.
    """

    def __init__(self, stream: Stream, batch: int) -> None:
        self._stream = stream
        self._batch = batch
        self._left = 0  # readings until the limit ends
        self._size = batch
        self._noted = False  # whether a batch is recorded in Redis
        self._paused = False  # whether the pause before the last try of a reading is over

    @property
    def awake(self) -> bool:
        """Whether the next batch is recorded in Redis before it is handled."""
        return self._left > 0

    def begin(self) -> None:
        """Activate the limit for the next batches."""
        self._left = self._batch
        self._size = self._batch

    def end(self) -> None:
        """End the limit: the partition was released or lost."""
        self._left = 0
        self._paused = False

    def choose(self, epoch: int, started_from: str, entries: RawEntries) -> tuple[RawEntries, BatchResult | None]:
        """Return the readings to handle now, and a finished result if they must not be handled again.

        Raises:
            Fenced: another worker has the partition.
            PauseNeeded: the caller must pause before the next call.
        """
        if not self.awake:
            return entries, None
        pause_before = 0 if self._paused else MAX_TRIES
        attempt = self._stream.attempt(epoch, started_from, min(self._size, len(entries)), pause_before)
        self._paused = attempt.tries == 0
        if self._paused:
            raise PauseNeeded(f"workers ended {MAX_TRIES - 1} times while they handled {entries[0][0]} alone")
        self._noted = True
        chosen = entries[: attempt.size]
        self._size = attempt.size
        self._left -= attempt.size
        return chosen, _set_aside(chosen[0]) if attempt.tries > MAX_TRIES else None

    def clear(self, epoch: int) -> None:
        """Delete the record of a batch whose commit was refused: handling it did not kill the worker."""
        if self._noted:
            self._noted = False
            with suppress(StreamError, RedisError):  # the lease or Redis is gone: the next worker tries half
                self._stream.clear(epoch)


def _set_aside(entry: Entry) -> BatchResult:
    entry_id, fields = entry
    detail = (
        f"the worker ended or failed {MAX_TRIES} times while it handled this reading alone, the last time after a "
        "pause: check its log, and report the reading; or push it again if something else ended the worker"
    )
    result = BatchResult(entry_id, dead=[DeadLetter(entry_id, "poison", detail, fields)])
    result.counts["dead"] = 1
    return result
