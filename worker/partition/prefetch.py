"""The next batch is read while the last one is handled."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tidecast.online.batch import Entry

Read = Callable[[str, int | None], tuple[list[Entry], bool]]  # after which id, how long to wait: entries, whether full


class ReadAhead:
    """Reads in the caller's stead, and behind a full batch, where another is to be expected, on a thread as well.

    Reading changes nothing in Redis, so what was read ahead and is not asked for is thrown away. At most one batch is
    held. Where batches are not full nothing is read ahead, and no reading waits for a thread.

    Args:
        read: reads the entries after an id.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, "read-ahead")  # begins when it is first needed
        self._ahead: tuple[str, Future[tuple[list[Entry], bool]]] | None = None
        self._full_to: str | None = None  # where the last batch ends, if it was full

    def read(self, last: str, block_ms: int | None) -> Sequence[Entry]:
        """The entries after `last`."""
        entries, full = self._held(last) or self._read(last, block_ms)
        self._full_to = entries[-1][0] if full else None
        return entries

    def holds(self, last: str) -> bool:
        """Whether what comes after `last` was read ahead, or is being."""
        return self._ahead is not None and self._ahead[0] == last

    def go_on(self) -> None:
        """Read on behind the last batch, if it was full."""
        if self._full_to:
            self._ahead = self._full_to, self._thread.submit(self._read, self._full_to, None)
            self._full_to = None

    def _held(self, last: str) -> tuple[list[Entry], bool] | None:
        """What was read ahead after `last`; None if nothing was, or if reading failed, which is tried again then."""
        if self._ahead is None:
            return None
        (after, future), self._ahead = self._ahead, None
        if future.exception() or after != last:  # it waits until the thread has done, whatever comes of it
            return None
        found = future.result()
        return found if found[0] else None
