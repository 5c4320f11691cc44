"""A TCP proxy on loopback that loses, delays, cuts and crumbles its traffic on request."""

import asyncio
import random
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Self

from tests.harness.patience import PATIENCE_S

CHUNK = 65536
PIECES = (1, 7)  # bytes, from and to, in a chunk that is split
SPLIT = 1024  # so many bytes of it are: the rest follows as one
PIECES_PAUSE_S = 0.0005
REPLAYED = b"$7\r\nALREADY\r\n"  # the commit's answer to a batch that was committed before, its reply lost
REFUSED = {b"-FENCED": "fenced", b"-CONFLICT": "conflicts"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the next request that holds `needle`.

    Attributes:
        kind: `drop_reply`, `delay_request`, `delay_reply`, `split_request`, `split_reply`, `half_close_server` or
            `half_close_client`.
        needle: bytes of the requests concerned; empty: any request.
        delay_s: for the delays.
    """

    kind: str
    needle: bytes = b""
    delay_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Link:
    """One client's connection and the one to the server that was made for it."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    on_reply: Fault | None = None  # the fault for the next reply
    client_closed: bool = False  # our side towards the client is

    def close_client(self) -> None:
        """Send the client no more."""
        if self.to_client.can_write_eof():
            self.to_client.write_eof()
        else:  # TLS cannot close one direction alone
            self.to_client.close()
        self.client_closed = True


class Proxy:
    """A port in front of another one for the length of a `with` block."""

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls  # of the clients' side
        self.seen: list[tuple[float, str]] = []  # epoch seconds, and faults that the workers' logs do not show
        self.met: list[tuple[float, Fault]] = []  # epoch seconds, and a fault that was applied to a request
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._upstream = upstream
        self._armed: deque[Fault] = deque()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where a worker finds Redis through this proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def armed(self) -> int:
        """How many faults were not applied yet."""
        return len(self._armed)

    def is_idle(self) -> bool:
        """Return whether no client is connected to the server any more."""
        return all(link.client_closed for link in self._links)

    def arm(self, fault: Fault) -> None:
        """Apply this fault to the next request that matches it."""
        self._armed.append(fault)

    def disarm(self) -> None:
        """Drop the faults that were not applied yet."""
        self._armed.clear()

    def switch(self, upstream: int) -> None:
        """Pass all later connections to another server, and break those to the one before."""
        self._loop.call_soon_threadsafe(self._switch, upstream)

    def lead(self, upstream: int) -> None:
        """Pass all later connections to another server; those to the one before stay open."""
        self._upstream = upstream

    def _switch(self, upstream: int) -> None:
        self._upstream = upstream
        for link in self._links:
            link.to_client.transport.abort()
            link.to_server.transport.abort()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(PATIENCE_S):
            raise RuntimeError("the proxy does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the next round of the loop

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:  # the server is down: so are we
            to_client.transport.abort()
            return
        link = _Link(from_client, to_client, from_server, to_server)
        self._links.add(link)
        try:
            await asyncio.gather(self._requests(link), self._replies(link))
        except (OSError, asyncio.CancelledError):  # either end broke off, or the proxy ends
            pass
        finally:
            self._links.discard(link)
            to_client.transport.abort()
            to_server.transport.abort()

    async def _requests(self, link: _Link) -> None:
        """Pass on the client's requests, also those that it sent before it left."""
        while chunk := await link.from_client.read(CHUNK):
            fault = self._take(chunk)
            if fault and fault.kind == "half_close_server":
                break  # the request is lost
            if fault and fault.kind == "delay_request":
                await asyncio.sleep(fault.delay_s)
            if fault and fault.kind in ("drop_reply", "delay_reply", "split_reply"):
                link.on_reply = fault
            await _pass_on(chunk, link.to_server, split=bool(fault and fault.kind == "split_request"))
            if fault and fault.kind == "half_close_client":
                link.close_client()
        link.to_server.write_eof()

    async def _replies(self, link: _Link) -> None:
        while chunk := await link.from_server.read(CHUNK):
            self._note(chunk, link)
            fault = link.on_reply
            link.on_reply = None
            if fault and fault.kind == "drop_reply":  # a reply is here: the request went through
                link.to_client.transport.abort()
                return
            if fault:
                await asyncio.sleep(fault.delay_s)
            if not link.client_closed:
                await _pass_on(chunk, link.to_client, split=bool(fault and fault.kind == "split_reply"))
        if not link.client_closed:
            link.close_client()

    def _note(self, chunk: bytes, link: _Link) -> None:
        """Note replays, and refusals of a request whose sender has given up: only the proxy gets them."""
        if chunk.startswith(REPLAYED):
            self.seen.append((time.time(), "replayed"))
        elif link.from_client.at_eof():
            self.seen += [(time.time(), kind) for code, kind in REFUSED.items() if chunk.startswith(code)]

    def _take(self, chunk: bytes) -> Fault | None:
        for fault in list(self._armed):
            if fault.needle in chunk:
                self._armed.remove(fault)
                self.met.append((time.time(), fault))
                return fault
        return None


async def _pass_on(chunk: bytes, to: asyncio.StreamWriter, *, split: bool) -> None:
    """Write a chunk; split, so that the reader gets a few bytes at a time."""
    at = 0
    while split and at < min(SPLIT, len(chunk)):
        size = random.randint(*PIECES)
        to.write(chunk[at : at + size])
        await to.drain()
        await asyncio.sleep(PIECES_PAUSE_S)
        at += size
    to.write(chunk[at:])
    await to.drain()
