"""The wish that the worker stop, which a signal handler may tell at any moment."""

import queue
from contextlib import suppress


class Stop:
    """Told once; whoever waits is woken.

    Not `threading.Event`: its `set` takes a lock that the very thread which the signal interrupts may hold, if it was
    just beginning to wait, and then neither goes on. A `SimpleQueue` is made for being fed from a signal handler.
    """

    def __init__(self) -> None:
        self._told = False
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Say that it is time to stop."""
        self._told = True
        self._bell.put(None)

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self._told

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until told; whether it is time to stop."""
        if not self._told:
            with suppress(queue.Empty):
                self._bell.get(timeout=max(0.0, seconds))
        return self._told
