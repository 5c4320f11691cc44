"""A schedule that begins once the worker is ready: what it imports must not delay the first forecast."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

if TYPE_CHECKING:
    from worker.retraining.scheduler import Schedule

LOOK_S = 0.25  # how long an end may go unseen before the worker is ready

log = structlog.get_logger("tidecast.worker")


class LateSchedule:
    """Makes and starts a schedule on a thread of its own, as soon as an event is set.

    Args:
        make: returns the schedule; called on the thread, and imports what it needs there.
        ready: the event.
    """

    def __init__(self, make: "Callable[[], Schedule]", ready: threading.Event) -> None:
        self._make = make
        self._ready = ready
        self._ended = threading.Event()
        self._schedule: Schedule | None = None
        self._thread = threading.Thread(target=self._begin, name="schedule", daemon=True)

    def __enter__(self) -> Self:
        """Wait for the event beside what the caller does."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the schedule, or the wait for its begin."""
        self._ended.set()
        self._thread.join()
        if self._schedule is not None:
            self._schedule.stop()

    def _begin(self) -> None:
        while not self._ready.wait(LOOK_S):
            if self._ended.is_set():
                return
        try:
            schedule = self._make()
            if not self._ended.is_set():
                schedule.start()
                self._schedule = schedule
        except Exception:  # whatever it is, the worker goes on answering
            log.exception("schedule not started")
