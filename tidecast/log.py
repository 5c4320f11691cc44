"""The log of programs that run unattended: one JSON object per line on standard error, without exceptions.

A line that cannot be written is dropped and counted. A full disk, a closed terminal or a pipe without a reader must not
stop forecasts.
"""

import json
import logging
import os
import select
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

PATIENCE_S = 0.25  # how long a line waits for a full pipe; the lines after it do not wait
_UNSHOWN = "(cannot be shown)"


def _descriptor_of(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream else None
    except (OSError, ValueError):  # the stream is not a file, or closed
        return None


class LineWriter:
    """A writer of whole lines to a stream; a line that cannot be written is dropped and counted.

    It bypasses Python's buffer, which would keep a refused line and write it again at the end of the program.

    Args:
        stream: the stream to write to; None: all lines are dropped.

    Attributes:
        lost: how many lines were dropped.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self._lock = threading.Lock()
        self._blocked = False  # the last line waited, and could not be written
        self._cut = False  # only a part of the last line was written
        self._unreported = 0  # lines dropped since the log last reported some
        self.lost = 0

    def write(self, line: str) -> None:
        """Write a line, or count it as lost."""
        with self._lock:
            if self._unreported and self._send(_lost_report(self._unreported)):
                self._unreported = 0
            if self._unreported or not self._send(line):
                self._unreported += 1
                self.lost += 1

    def _send(self, line: str) -> bool:
        """Write a line; return whether all of it was written."""
        data = f"{line}\n".encode(errors="backslashreplace")
        try:
            if self._descriptor is None:
                return self._print(line)
            return self._send_pieces(self._descriptor, b"\n" + data if self._cut else data)
        except (OSError, ValueError):  # the disk is full, the reader has gone, the stream is closed
            return False

    def _print(self, line: str) -> bool:
        """Write to a stream without a file descriptor, such as those in tests."""
        if self._stream is None:
            return False
        self._stream.write(f"{line}\n")
        self._stream.flush()
        return True

    def _send_pieces(self, descriptor: int, data: bytes) -> bool:
        """Write piece by piece, each only when the system can take it without blocking."""
        left = memoryview(data)
        while left and self._takes_more(descriptor):
            left = left[os.write(descriptor, left[: select.PIPE_BUF]) :]
            self._cut = bool(left)
        return not left

    def _takes_more(self, descriptor: int) -> bool:
        """Return whether a write of `PIPE_BUF` bytes would not block; do not wait again after a wait that timed out."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        self._blocked = not poll.poll(0 if self._blocked else 1000 * PATIENCE_S)
        return not self._blocked


_writer = LineWriter(sys.stderr)


def log_as_json() -> None:
    """Configure logging: one JSON object per line on standard error, including warnings of libraries."""
    global _writer  # a process has one standard error
    _writer = LineWriter(sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _as_json,
        ],
        wrapper_class=_Logger,
        logger_factory=lambda *_names: _Lines(),
    )
    if not any(isinstance(handler, _LibraryHandler) for handler in logging.root.handlers):
        logging.root.addHandler(_LibraryHandler(logging.WARNING))


def write_line(line: str) -> None:
    """Write a line that is JSON already, for example of a child process, under the lock of our own lines."""
    _writer.write(line)


def lines_lost() -> int:
    """Return how many lines of the log could not be written since the program began."""
    return _writer.lost


class _Lines:
    """The logger below structlog's, which receives finished lines."""

    def msg(self, line: str) -> None:
        """Write a line."""
        _writer.write(line)

    debug = info = warning = error = critical = msg


class _Logger(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc] # a class made at run time
    """A logger from level INFO on that never raises an exception."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> None:
        try:
            super()._proxy_to_logger(method_name, event, **fields)
        except Exception as exc:
            with suppress(Exception):
                _writer.write(json.dumps(_failed_line(method_name, event, exc)))


class _LibraryHandler(logging.Handler):
    """A handler that writes the records of libraries to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as one of our lines."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        with suppress(Exception):
            log = structlog.get_logger()
            getattr(log, level)(record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def _as_json(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    try:
        return json.dumps(fields, default=_text_of, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # a cycle, NaN, a key that is not text
        return json.dumps({name: value if _fits(value) else _text_of(value) for name, value in fields.items()})


def _fits(value: object) -> bool:
    try:
        json.dumps(value, default=_text_of, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _text_of(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"{type(value).__name__} {_UNSHOWN}"


def _failed_line(method: str, event: object, exc: Exception) -> Mapping[str, str]:
    """Return the line to log in place of one that could not be formatted."""
    shown = event if isinstance(event, str) else _text_of(event)
    return {"event": shown, "log_error": _text_of(exc), "level": method, "timestamp": _now()}


def _lost_report(count: int) -> str:
    return json.dumps({"event": "log lines lost", "count": count, "level": "warning", "timestamp": _now()})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
