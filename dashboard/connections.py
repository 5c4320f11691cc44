"""Limits on the web server's connections: uvicorn itself waits for a request without a time limit."""

import asyncio
import resource
from typing import Any, ClassVar

from uvicorn.protocols.http.auto import AutoHTTPProtocol

MOST_CONNECTIONS = 512  # at once; a page holds one or two
DESCRIPTORS_SHARE = 2  # connections may use at most this fraction (1/2) of the process's file descriptors
REQUEST_S = 10.0  # from the connection, or the first byte of a further request, to the end of the request
MOST_BYTES = 1_000_000  # of one request


class LimitedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # uvicorn chooses the class by what is installed
    """An HTTP connection that is closed if its request is not complete in time, or if too many connections wait."""

    # Attributes of uvicorn's own classes.
    connections: set[asyncio.Protocol]
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    most: ClassVar[int] = MOST_CONNECTIONS
    _waiting: ClassVar[
        dict["LimitedProtocol", asyncio.TimerHandle]
    ] = {}  # connections without a complete request; the oldest first
    _received = 0  # bytes of the current request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request; with too many connections, close the one that has waited longest."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            next(iter(self._waiting), self)._give_up()
        if not transport.is_closing():
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Read a piece of a request."""
        if self not in self._waiting and not self._is_answering:
            self._wait()
        self._received += len(data)
        if self._received > MOST_BYTES:
            self._give_up()
            return
        super().data_received(data)
        if self._is_answering or self.transport.get_protocol() is not self:  # the latter: it is a WebSocket now
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _wait(self) -> None:
        self._received = 0
        self._waiting[self] = self.loop.call_later(REQUEST_S, self._give_up)

    def _stop_waiting(self) -> None:
        if timer := self._waiting.pop(self, None):
            timer.cancel()

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()


def limited_protocol() -> type[asyncio.Protocol]:
    """Return the protocol, with a limit that leaves the process enough descriptors for Redis and files."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors != resource.RLIM_INFINITY:
        LimitedProtocol.most = max(1, min(MOST_CONNECTIONS, descriptors // DESCRIPTORS_SHARE))
    return LimitedProtocol
