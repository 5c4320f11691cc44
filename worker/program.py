"""The worker as a process: settings in, signals heard, exit code out."""

import logging
import signal
import sys
import threading
from types import FrameType

import structlog

from tidecast.client import connect
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.store import ModelStore
from tidecast.wire import keys_of
from worker.health import Health
from worker.loop import Worker
from worker.stream import Stream


def run(settings: Settings, *, burst: bool = False) -> None:
    """Run the worker until SIGTERM or SIGINT, or with `burst` until every reading is answered.

    Raises:
        SettingsError: the settings ask for something that this worker does not do.
    """
    check(settings)
    log_as_json()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _flag(stop))
    health = Health()
    if settings.worker.health_port is not None:
        server = health.serve(settings.worker.health_host, settings.worker.health_port)
        structlog.get_logger("tidecast.worker").info("health served", port=server.server_port)
    stream = Stream(connect(settings), keys_of(namespace=settings.namespace), settings.worker)
    Worker(settings, stream, ModelStore(settings.store), health).run(stop, burst=burst)


def check(settings: Settings) -> int:
    """Say how many series have a champion whose file is whole; the dry run of `run`.

    Raises:
        SettingsError: the settings ask for something that this worker does not do.
        ModelError: a champion's file is not whole.
    """
    if settings.partitions != 1:
        raise SettingsError(f"setting partitions is {settings.partitions}: this worker serves one, set it to 1")
    store = ModelStore(settings.store)
    served = [series for series in store.series() if store.champion(series) is not None]
    for series in served:
        store.load(series)
    return len(served)


def log_as_json() -> None:
    """Write one JSON object a line to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _flag(stop: threading.Event) -> "signal._HANDLER":
    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()  # a flag only: logging is unsafe in a signal handler

    return handle
