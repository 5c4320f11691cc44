"""Start the schedule once the worker is ready, since its imports must not delay the first forecast."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

if TYPE_CHECKING:
    from worker.retraining.scheduler import Schedule

LOOK_S = 0.25  # how often to check for the end while waiting for the worker to be ready
AGAIN_S = 60.0  # the pause before another try, if it cannot be started

log = structlog.get_logger("tidecast.worker")


class LateSchedule:
    """A context manager that starts a schedule on a separate thread, as soon as an event is set.

    Args:
        make: returns the schedule; called on that thread, so that its imports run there.
        ready: the event.
    """

    def __init__(self, make: "Callable[[], Schedule]", ready: threading.Event) -> None:
        self._make = make
        self._ready = ready
        self._ended = threading.Event()
        self._schedule: Schedule | None = None
        self._thread = threading.Thread(target=self._begin, name="schedule", daemon=True)

    def __enter__(self) -> Self:
        """Start waiting for the event in the background."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the schedule, or stop waiting for the event."""
        self._ended.set()
        self._thread.join()
        if self._schedule is not None:
            self._schedule.stop()

    def _begin(self) -> None:
        while not self._ready.wait(LOOK_S):
            if self._ended.is_set():
                return
        while not self._ended.is_set():
            try:
                schedule = self._make()
                if not self._ended.is_set():  # its imports take a while
                    schedule.start()
                    self._schedule = schedule
                return
            except Exception:  # for example without a file descriptor; the worker continues without a schedule
                log.exception("schedule not started", again_in_s=AGAIN_S)
                self._ended.wait(AGAIN_S)
