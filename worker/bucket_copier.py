"""Copy new champions to and from the bucket of the settings, while the worker runs."""

import threading
from types import TracebackType
from typing import Self

import structlog

from tidecast.errors import TidecastError
from tidecast.models.bucket.mirror import Mirror, mirrors_of
from tidecast.models.bucket.objects import Bucket
from tidecast.models.store import ModelStore
from worker.failures.log_limiter import LogLimiter
from worker.metrics import Health

MOST_LOGGED = 3  # series of one copy that have a line of their own: a full disk stops all of them

log = structlog.get_logger("tidecast.worker")


class BucketCopier:
    """A context manager that copies changes on a background thread; the worker never waits for it.

    Args:
        store: of this machine.
        url: of the bucket.
        every_s: the pause between two copies, seconds.
        health: the metrics.

    Raises:
        SettingsError: the address cannot be used.
    """

    def __init__(self, store: ModelStore, url: str, every_s: float, health: Health) -> None:
        self._store = store
        self._mirrors = mirrors_of(store, Bucket(url))
        self._every_s = every_s
        self._health = health
        self._limiter = LogLimiter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bucket", daemon=True)

    def __enter__(self) -> Self:
        """Start to copy; wait for the first copy only if this machine has no model yet."""
        if not self._store.root.exists():
            self._copy_all()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread, after the object that it is copying."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._copy_all()
            self._ended.wait(self._every_s)

    def _copy_all(self) -> None:
        for mirror in self._mirrors:
            self._copy(mirror)

    def _copy(self, mirror: Mirror) -> None:
        """Copy the changes of a store, and log what failed; the next call tries it again."""
        try:
            changes = mirror.sync()
        except (TidecastError, OSError) as exc:
            self._failed("bucket", str(exc))  # one kind: the library's sentences contain durations
            return
        except Exception as exc:  # the thread must survive every error
            error = f"{type(exc).__name__}: {exc}"
            self._failed(error, error, exc_info=True)
            return
        for failure in changes.failures[:MOST_LOGGED]:
            self._failed(failure, failure)
        if (others := len(changes.failures) - MOST_LOGGED) > 0:
            self._failed("others", f"{others} more series could not be copied")
        if changes.pushed or changes.pulled:
            log.info("models copied", to_bucket=len(changes.pushed), from_bucket=len(changes.pulled))

    def _failed(self, kind: str, error: str, *, exc_info: bool = False) -> None:
        self._health.failed("bucket")
        if times := self._limiter.count(kind):
            remedy = "until then this worker forecasts with the models that it has"
            log.warning("models not copied", error=error, times=times, remedy=remedy, exc_info=exc_info)
