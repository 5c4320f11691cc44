"""A small web server for probes and metrics, on its own thread.

A client cannot block the worker or the other probes: the number and the duration of connections are limited. If there
are too many, the oldest is closed.
"""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

import structlog

MOST_CONNECTIONS = 32  # at once; each takes a file descriptor
DESCRIPTORS_SHARE = 4  # connections use at most one in this many of the process's file descriptors
WHOLE_S = 5.0  # time limit from the connection to the end of the response
LINGER_S = 1.0  # how long to wait for the client to close: closing first may lose the response
MOST_BYTES = 8192  # limit for a request's head
PAUSE_S = 0.5  # before the next accept, if there was no file descriptor
REPORT_S = 60.0  # shortest time between two log lines about trouble

App = Callable[[dict[str, object], Callable[..., object]], Iterable[bytes]]

log = structlog.get_logger("tidecast.worker")


class _RefusedError(Exception):
    """A request that the application does not answer; the text is the status."""


class ProbeServer:
    """A server that answers GET and HEAD with a WSGI application, which must be quick.

    Args:
        app: the application; its `environ` has method, path, query, Accept and Accept-Encoding only.
        listeners: listening sockets; the server closes them when it stops.
    """

    def __init__(self, app: App, listeners: Sequence[socket.socket]) -> None:
        self.port = int(listeners[0].getsockname()[1])
        self._app = app
        self._listeners = listeners
        self._most = _most_connections()
        self._connections: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._reported_at = -REPORT_S
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._report)
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and wait for the thread."""
        with suppress(RuntimeError):  # already closed
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        accepting = [self._loop.create_task(self._accept(listener)) for listener in self._listeners]
        await self._end.wait()
        for task in (*accepting, *self._connections):
            task.cancel()
        for listener in self._listeners:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        """Start a task for each connection; close the oldest one if there are too many."""
        listener.setblocking(False)
        while True:
            try:
                client, _ = await self._loop.sock_accept(listener)
            except OSError as exc:  # no file descriptor is left, or the client has gone
                self._report(self._loop, {"message": "a probe was not accepted", "exception": exc})
                self._close_oldest()
                await asyncio.sleep(PAUSE_S)
                continue
            if len(self._connections) >= self._most:
                self._close_oldest()
            self._connections[self._loop.create_task(self._converse(client))] = None
            await asyncio.sleep(0)  # let the other tasks run, however many clients connect

    def _close_oldest(self) -> None:
        if self._connections:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.cancel()

    async def _converse(self, client: socket.socket) -> None:
        """Answer one request and close the connection."""
        try:
            with client:
                reader, writer = await asyncio.open_connection(sock=client, limit=MOST_BYTES)
                try:
                    async with asyncio.timeout(WHOLE_S):
                        await self._answer(reader, writer)
                    async with asyncio.timeout(LINGER_S):
                        while await reader.read(MOST_BYTES):
                            pass
                finally:
                    writer.transport.abort()
        except (OSError, asyncio.CancelledError):  # too slow, gone, or closed in favour of a newer connection
            pass
        finally:
            self._connections.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = []
        try:
            lines = await _head(reader)
            if not lines:
                return  # the client has closed without a request
            environ = _environ(lines)
            status, headers, body = self._asked(environ)
        except _RefusedError as exc:
            status = str(exc)
            headers = [("Allow", "GET, HEAD")]
            body = f"{exc}\n".encode()
        headers = [*headers, ("Content-Length", str(len(body))), ("Connection", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        only_head = bool(lines) and lines[0].startswith(b"HEAD ")
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + (b"" if only_head else body))
        await writer.drain()
        writer.write_eof()

    def _asked(self, environ: dict[str, object]) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return status, headers and body of the application's response."""
        started: list[tuple[str, list[tuple[str, str]]]] = []
        try:
            body = b"".join(self._app(environ, lambda status, headers: started.append((status, headers))))
            status, headers = started[0]
        except Exception as exc:
            self._report(self._loop, {"message": "a probe was not answered", "exception": exc})
            raise _RefusedError("500 Internal Server Error") from exc
        return status, headers, body

    def _report(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log trouble, such as too few file descriptors to accept a connection, at most once per `REPORT_S`."""
        now = time.monotonic()
        if now - self._reported_at >= REPORT_S:
            self._reported_at = now
            log.warning("health port failed", error=f"{context.get('message')}: {context.get('exception')!r}")


async def _head(reader: asyncio.StreamReader) -> list[bytes]:
    """Read the lines of a request up to the empty one; return an empty list if the client has closed."""
    lines: list[bytes] = []
    size = 0
    while size <= MOST_BYTES:
        try:
            line = await reader.readline()
        except ValueError:  # one line is longer than the limit
            break
        if not line.strip():
            return lines
        lines.append(line)
        size += len(line)
    raise _RefusedError("431 Request Header Fields Too Large")


def _environ(lines: Sequence[bytes]) -> dict[str, object]:
    """Return the WSGI environment of a request."""
    method, _, rest = lines[0].decode("latin-1").strip().partition(" ")
    target, _, version = rest.partition(" ")
    if not target or not version.startswith("HTTP/"):
        raise _RefusedError("400 Bad Request")
    if method not in ("GET", "HEAD"):
        raise _RefusedError("405 Method Not Allowed")
    try:
        parts = urlsplit(target)
    except ValueError as exc:
        raise _RefusedError("400 Bad Request") from exc
    environ: dict[str, object] = {"REQUEST_METHOD": "GET", "PATH_INFO": parts.path, "QUERY_STRING": parts.query}
    for line in lines[1:]:
        name, _, value = line.decode("latin-1").partition(":")
        if (name := name.strip().lower()) in ("accept", "accept-encoding"):
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value.strip()
    return environ


def _most_connections() -> int:
    """Return the largest number of connections that leaves enough file descriptors for Redis and the store."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, descriptors // DESCRIPTORS_SHARE))
