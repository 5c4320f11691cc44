"""Send the commit of a handled batch; let fewer readings be read at once if Redis finds the commit too large."""

import time
from collections.abc import Callable

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tidecast.errors import StreamError, TidecastError
from worker.metrics import Health
from worker.partition.exchange.entry_reader import CLOSED
from worker.partition.handled_batch import HandledBatch
from worker.partition.poison import PoisonGuard
from worker.partition.stream import Stream

CLOSED_AT_MOST = 3  # after this many connections closed during the commit of a batch, it counts as too large
SMALLER_FOR = 256  # batches of reduced size before twice as many readings are tried again
PROTOCOL_ERROR = "Protocol error"  # the Redis error for an argument longer than proto-max-bulk-len


class TooLarge(TidecastError):  # noqa: N818 - as the others of its family
    """Redis closes the connection because a commit is too large."""


class BatchSender:
    """Sends the batches of one partition."""

    def __init__(self, stream: Stream, health: Health, poison_guard: PoisonGuard) -> None:
        self._stream = stream
        self._health = health
        self._poison_guard = poison_guard

    def send(self, batch: HandledBatch, epoch: int, meanwhile: Callable[[], None] | None) -> None:
        """Commit a batch; after an error, sending it again is safe.

        Args:
            batch: the earliest that is not committed.
            epoch: of the lease.
            meanwhile: called while Redis works, if given; its time does not count as that of the commit.

        Raises:
            TooLarge: the batch must be handled again, in parts.
        """
        if batch.sent:
            self._health.retried()
        batch.sent = True
        began = time.perf_counter()
        elsewhere = 0.0

        def apart() -> None:
            nonlocal elsewhere
            left = time.perf_counter()
            try:
                if meanwhile:
                    meanwhile()
            finally:
                elsewhere = time.perf_counter() - left

        try:
            self._stream.commit(epoch, batch.started_from.last, batch.result, batch.lag, meanwhile and apart)
        except (StreamError, ResponseError) as exc:
            self._poison_guard.clear(epoch)
            if PROTOCOL_ERROR in str(exc):
                self._read_less(batch, exc)
            raise
        except CLOSED as exc:
            batch.closed += 1
            if batch.closed >= CLOSED_AT_MOST and self._stream.answers():
                self._read_less(batch, exc)
            raise
        finally:
            self._health.took("commit", time.perf_counter() - began - elsewhere)

    def _read_less(self, batch: HandledBatch, exc: Exception) -> None:
        """Halve the number of readings in a batch, since Redis closes the connection only for this commit.

        Raises:
            TooLarge: the batch must be handled again, in parts.
            ConnectionError: the batch has a single reading.
        """
        why = f"Redis closes the connection over the answers to {batch.answered} readings"
        if batch.answered == 1:
            raise RedisConnectionError(f"{why}: raise its client-query-buffer-limit and proto-max-bulk-len") from exc
        self._stream.read_less(SMALLER_FOR)
        raise TooLarge(why) from exc
