"""The web server's connections: a client that sends nothing, or without end, keeps no other client out."""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from typing import Any

import pytest
import uvicorn

from dashboard import connections
from dashboard.connections import MOST_CONNECTIONS, LimitedProtocol, limited_protocol
from tests.harness.patience import PATIENCE_S, until


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request with its body."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body = body + message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A running server with room for eight connections."""
    monkeypatch.setattr(LimitedProtocol, "most", 8)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=LimitedProtocol, log_config=None, lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        until(lambda: server.started)
        yield int(listener.getsockname()[1])
        server.should_exit = True
        server.force_exit = True
        thread.join()


def connect(port: int, stack: ExitStack, data: bytes = b"") -> socket.socket:
    """Return a client of its own, which sends something."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
    with suppress(ConnectionError):
        client.sendall(data)
    return client


def closed(client: socket.socket) -> bool:
    """Wait until the server closes the connection."""
    with suppress(ConnectionError):
        while client.recv(65_536):
            pass
    return True


def ask(port: int, body: bytes = b"", times: int = 1) -> list[int]:
    """Return the statuses of some requests on one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    statuses = []
    for _ in range(times):
        connection.request("POST", "/", body)
        answer = connection.getresponse()
        assert body == answer.read()
        statuses.append(answer.status)
    connection.close()
    return statuses


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n"], ids=["silent", "no end"])
def test_clients_that_wait_make_room_for_those_that_ask(port: int, data: bytes) -> None:
    """Each would keep a descriptor, and a connection to Redis would fail at last."""
    with ExitStack() as stack:
        clients = [connect(port, stack, data) for _ in range(60)]
        assert [200] == ask(port)
        assert closed(clients[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1"],
    ids=["silent", "no end of the head", "no end of the body"],
)
def test_a_request_that_does_not_come_to_its_end_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """Whichever part of it is missing."""
    monkeypatch.setattr(connections, "REQUEST_S", 0.05)
    with ExitStack() as stack:
        assert closed(connect(port, stack, data))


def test_a_further_request_on_a_connection_that_is_kept_must_come_to_its_end_too(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first byte of it ends the server's own limit for connections without a request."""
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)
    with ExitStack() as stack:
        client = connect(port, stack, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET")
        assert closed(client)


def test_a_head_without_end_is_not_collected_in_memory(port: int) -> None:
    """The parser alone would read it all."""
    with ExitStack() as stack:
        client = connect(port, stack, b"GET /")
        with pytest.raises(ConnectionError):
            client.sendall(b"x" * 100_000_000)


def test_whoever_asks_properly_notices_nothing(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many requests on one connection, with bodies, together larger than one request may be."""
    monkeypatch.setattr(connections, "MOST_BYTES", 150_000)
    assert [200] * 5 == ask(port, b"x" * 100_000, times=5)
    assert {} == LimitedProtocol._waiting


@pytest.mark.parametrize(("limit", "most"), [(resource.RLIM_INFINITY, MOST_CONNECTIONS), (256, 128), (1, 1)])
def test_connections_never_take_the_descriptors_that_redis_needs(
    monkeypatch: pytest.MonkeyPatch, limit: int, most: int
) -> None:
    """Where a process may have few, few connections are held."""
    monkeypatch.setattr(LimitedProtocol, "most", MOST_CONNECTIONS)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    limited_protocol()
    assert most == LimitedProtocol.most
