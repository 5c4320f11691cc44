"""A thread in the background that can be stopped."""

import threading


class StoppableThread(threading.Thread):
    """A thread in the background, whose `run` looks at `_stop_asked` again and again.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Let the thread end after its current step, and wait for it."""
        self._stop_asked.set()
        self.join()
