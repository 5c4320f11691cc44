"""A stop flag that is safe to set from a signal handler."""

import queue
import signal
from contextlib import suppress
from types import FrameType

from tidecast.signals import stopping


class Stop:
    """A flag that is set once and wakes the waiting thread.

    It is not a `threading.Event`: `set` takes a lock that the interrupted thread may hold if it has just begun to
    wait, which is a deadlock. `SimpleQueue.put` is safe in a signal handler.
    """

    def __init__(self) -> None:
        self._set = False
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Set the flag, and wake the waiting thread."""
        self._set = True
        self._bell.put(None)

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait for some seconds or until the flag is set; return whether it is set."""
        if not self._set:
            with suppress(queue.Empty):
                self._bell.get(timeout=max(0.0, seconds))
        return self._set


def stop_on_signals() -> Stop:
    """Return a flag that the signals to stop set."""
    stop = Stop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()  # a flag only: logging is unsafe in a signal handler

    for number in stopping():
        signal.signal(number, handle)
    return stop
