"""The server of the probes: whatever its clients do, the next probe is answered, and no resource is used up."""

import errno
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.harness.patience import PATIENCE_S, until
from worker import probes
from worker.probes import MOST_BYTES, MOST_CONNECTIONS, ProbeServer

FDS = Path("/proc/self/fd")


def app(environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
    """Answer with the request's path; `/fail` fails, `/large` is larger than any buffer."""
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("the application has failed")
    start("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/large":
        return [b"x" * 50_000_000]
    return [" ".join(f"{name}={value}" for name, value in sorted(environ.items())).encode()]


@pytest.fixture
def listener() -> socket.socket:
    """A socket that listens on a free port."""
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
def server(listener: socket.socket) -> Iterator[ProbeServer]:
    """A server on it."""
    running = ProbeServer(app, [listener])
    yield running
    running.close()


def ask(server: ProbeServer, path: str = "/healthz", method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and text of an answer."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def connect(server: ProbeServer, stack: ExitStack, data: bytes = b"") -> socket.socket:
    """Return a client of its own, which sends something."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))
    with suppress(ConnectionError):  # it may be closed in favour of others by then
        client.sendall(data)
    return client


def everything(client: socket.socket) -> bytes:
    """Return all that the server sends until it closes."""
    data = b""
    with suppress(ConnectionError):
        while more := client.recv(65_536):
            data += more
    return data


@pytest.mark.parametrize(
    "data",
    [b"", b"GET", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"\x16\x03\x01\x02\x00"],
    ids=["silent", "a word", "a line", "no end", "TLS"],
)
def test_many_clients_that_never_finish_their_request_block_no_probe(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """Sixty of them used to keep sixty threads; now they cost no thread, and the oldest make room for the newest."""
    start = threading.Thread.start
    starters = set()

    def start_noted(thread: threading.Thread) -> None:
        starters.add(threading.current_thread().name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_noted)
    files = len(list(FDS.iterdir()))
    with ExitStack() as stack:
        clients = [connect(server, stack, data) for _ in range(60)]
        assert 200 == ask(server)[0]
        assert "health" not in starters
        until(lambda: len(list(FDS.iterdir())) <= files + len(clients) + MOST_CONNECTIONS)
        assert b"" == everything(clients[0])


@pytest.mark.parametrize("data", [b"", b"GET /healthz HTTP/1.1\r\n"], ids=["silent", "slow"])
def test_a_client_that_is_too_slow_is_closed(server: ProbeServer, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """A byte now and then does not buy more time: the limit is for the whole request."""
    monkeypatch.setattr(probes, "WHOLE_S", 0.05)
    with ExitStack() as stack:
        client = connect(server, stack, data)
        client.settimeout(0.01)
        for _ in range(int(PATIENCE_S / 0.01)):
            try:
                assert b"" == client.recv(1)
                break
            except ConnectionError:
                break
            except TimeoutError:
                with suppress(ConnectionError):
                    client.send(b"x")
        else:
            pytest.fail("it was not closed")


def test_a_client_that_does_not_read_its_answer_is_closed(server: ProbeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unread answer is not kept for ever."""
    monkeypatch.setattr(probes, "WHOLE_S", 0.2)
    files = len(list(FDS.iterdir()))
    with ExitStack() as stack:
        connect(server, stack, b"GET /large HTTP/1.1\r\n\r\n")
        until(lambda: len(list(FDS.iterdir())) == files + 1)
        assert 200 == ask(server)[0]


def test_a_client_that_has_closed_its_side_is_answered_all_the_same(server: ProbeServer) -> None:
    """As `nc` does: half the connection is closed as soon as the request is sent."""
    with ExitStack() as stack:
        client = connect(server, stack, b"GET /healthz HTTP/1.0\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert everything(client).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * MOST_BYTES * 10 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MOST_BYTES + b"\r\n", b"431"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400"),
        (b"\xff\xff / HTTP/1.1\r\n\r\n", b"405"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"405"),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /fail HTTP/1.1\r\n\r\n", b"500"),
    ],
    ids=["long line", "many lines", "no HTTP", "no version", "no address", "no letters", "POST", "DELETE", "failing"],
)
def test_an_odd_request_gets_its_status_and_the_next_one_its_answer(
    server: ProbeServer, request_: bytes, status: bytes
) -> None:
    """A client reads why it gets nothing, though it has sent more than was read."""
    with ExitStack() as stack:
        client = connect(server, stack, request_)
        assert status == everything(client).partition(b"HTTP/1.1 ")[2][:3]
    assert 200 == ask(server)[0]


def test_the_application_gets_what_prometheus_asks_for(server: ProbeServer) -> None:
    """Its path, its query and the forms that it accepts; a HEAD has no body."""
    status, text = ask(server, "/metrics?name[]=up", Accept="text/plain", **{"Accept-Encoding": "gzip"})
    assert 200 == status
    assert {
        "PATH_INFO=/metrics",
        "QUERY_STRING=name[]=up",
        "HTTP_ACCEPT=text/plain",
        "HTTP_ACCEPT_ENCODING=gzip",
    } < set(text.split(" "))
    assert (200, "") == ask(server, method="HEAD")


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptor left."""

    calls = 0
    over = False

    def accept(self) -> tuple[socket.socket, object]:
        """Count, and fail until it is over."""
        self.calls += 1
        if not self.over:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_a_descriptor_left_the_server_waits_instead_of_trying_without_end() -> None:
    """It used to take a whole core; it logs the fault once, and answers again as soon as it can."""
    listener = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with capture_logs() as lines:
        server = ProbeServer(app, [listener])
        try:
            with ExitStack() as stack:
                began = time.monotonic()
                connect(server, stack)
                until(lambda: listener.calls > 0)
                time.sleep(0.2)
                assert listener.calls <= 32 * (2 + time.monotonic() - began)
                listener.over = True
                assert 200 == ask(server)[0]
        finally:
            server.close()
    assert [("health port failed", "warning")] == [(line["event"], line["log_level"]) for line in lines]


@pytest.mark.parametrize(
    ("limit", "most"), [(resource.RLIM_INFINITY, MOST_CONNECTIONS), (1024, MOST_CONNECTIONS), (40, 10), (3, 1)]
)
def test_probes_never_take_the_descriptors_that_redis_needs(
    monkeypatch: pytest.MonkeyPatch, limit: int, most: int
) -> None:
    """Where a process may have few, few connections are held."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most == probes._most_connections()


def test_a_server_that_is_closed_twice_is_closed(listener: socket.socket) -> None:
    """Its port is free again."""
    server = ProbeServer(app, [listener])
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
