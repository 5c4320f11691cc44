"""The log of programs that run unattended: one line per event on standard error, without exceptions.

A line is text on a terminal and otherwise a JSON object, unless the setting `log_format` fixes its form. A line that
cannot be written is dropped and counted. A full disk, a closed terminal or a pipe without a reader must not stop
forecasts.
"""

import json
import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from tidecast.log_lines import as_json, as_text, text_of

TIMEOUT_S = 0.25  # how long a line waits for a full pipe; the lines after it do not wait
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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
        self._blocked = not poll.poll(0 if self._blocked else 1000 * TIMEOUT_S)
        return not self._blocked


_writer = LineWriter(sys.stderr)
_form: Callable[[Mapping[str, Any]], str] = as_json  # of a line
_least = logging.INFO  # the least level that is written
_always: Mapping[str, str] = {}  # fields that each line has


def begin_log(level: str = "info", form: str = "auto", **always: str) -> None:
    """Configure logging of our lines and of libraries' warnings.

    Args:
        level: the least level to write, one of `LEVELS`.
        form: `json`, `text`, or `auto`: text on a terminal, otherwise JSON.
        always: fields of each line, such as the name of the worker.
    """
    global _writer, _form, _least, _always  # a process has one standard error
    _writer = LineWriter(sys.stderr)
    _form = as_text if form == "text" or (form == "auto" and _is_terminal(sys.stderr)) else as_json
    _least = LEVELS[level]
    _always = always
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            lambda _logger, _method, fields: _form({**fields, **always}),
        ],
        wrapper_class=_logger_from(_least),
        logger_factory=lambda *_names: _Lines(),
    )
    if not any(isinstance(handler, _LibraryHandler) for handler in logging.root.handlers):
        logging.root.addHandler(_LibraryHandler(logging.WARNING))


def write_line(line: str) -> None:
    """Write a line that a child process has logged as JSON, in the form of our own lines and under their lock."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        _writer.write(line)
    elif LEVELS.get(str(fields.get("level")), logging.INFO) >= _least:
        _writer.write(_form({**fields, **_always}))


def lines_lost() -> int:
    """Return how many lines of the log could not be written since the program began."""
    return _writer.lost


class _Lines:
    """The logger below structlog's, which receives finished lines."""

    def msg(self, line: str) -> None:
        """Write a line."""
        _writer.write(line)

    debug = info = warning = error = critical = msg


def _logger_from(level: int) -> type[structlog.typing.FilteringBoundLogger]:
    """Return the class of loggers from this level on that never raise an exception."""
    filtering: Any = structlog.make_filtering_bound_logger(level)

    class Logger(filtering):  # type: ignore[misc] # a class made at run time
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> None:
            try:
                super()._proxy_to_logger(method_name, event, **fields)
            except Exception as exc:
                with suppress(Exception):
                    _writer.write(_form(_failed_line(method_name, event, exc)))

    return Logger


class _LibraryHandler(logging.Handler):
    """A handler that writes the records of libraries to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as one of our lines."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        with suppress(Exception):
            log = structlog.get_logger()
            getattr(log, level)(record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return bool(stream and stream.isatty())
    except ValueError:  # the stream is closed
        return False


def _failed_line(method: str, event: object, exc: Exception) -> Mapping[str, str]:
    """Return the line to log in place of one that could not be formatted."""
    shown = event if isinstance(event, str) else text_of(event)
    return {"event": shown, "log_error": text_of(exc), "level": method, "timestamp": _now(), **_always}


def _lost_report(count: int) -> str:
    return _form({"event": "log lines lost", "count": count, "level": "warning", "timestamp": _now(), **_always})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
