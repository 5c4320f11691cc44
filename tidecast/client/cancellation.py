"""Find a cancellation that redis-py has dropped."""

import asyncio


class Cancellation:
    """The cancellation of the present task, which redis-py may drop.

    On Python 3.11 `asyncio.wait_for`, which redis-py calls, returns instead of raising if its task is cancelled at the
    moment when the command has been sent. A loop of commands would then never end.
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def check(self) -> None:
        """Raise CancelledError if the task was cancelled since."""
        if self._task and self._task.cancelling() > self._before:
            raise asyncio.CancelledError
