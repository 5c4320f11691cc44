"""Prefetch the next batch while the last one is handled."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tidecast.online.batch import Entry

Read = Callable[[str, int | None], tuple[list[Entry], bool]]  # (last id, wait in ms) -> (entries, whether full)


class Prefetcher:
    """A reader that, after a full batch, prefetches the next one on a background thread.

    Reading changes nothing in Redis, so an unused prefetched batch is thrown away. At most one batch is held. Batches
    that are not full are never followed by a prefetch, so their readings do not wait for a thread.

    Args:
        read: reads the entries after an id.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, "read-ahead")  # starts on first use
        self._prefetched: tuple[str, Future[tuple[list[Entry], bool]]] | None = None
        self._full_to: str | None = None  # where the last batch ends, if it was full

    def read(self, last: str, block_ms: int | None) -> Sequence[Entry]:
        """Return the entries after `last`."""
        entries, full = self._held(last) or self._read(last, block_ms)
        self._full_to = entries[-1][0] if full else None
        return entries

    def holds(self, last: str) -> bool:
        """Return whether the entries after `last` were prefetched, or are being prefetched."""
        return self._prefetched is not None and self._prefetched[0] == last

    def go_on(self) -> None:
        """Start a prefetch after the last batch, if it was full."""
        if self._full_to:
            self._prefetched = self._full_to, self._thread.submit(self._read, self._full_to, None)
            self._full_to = None

    def _held(self, last: str) -> tuple[list[Entry], bool] | None:
        """Return the prefetched entries after `last`; None if they are missing, empty or the prefetch failed."""
        if self._prefetched is None:
            return None
        (after, future), self._prefetched = self._prefetched, None
        if future.exception() or after != last:  # waits for the thread
            return None
        batch = future.result()
        return batch if batch[0] else None
