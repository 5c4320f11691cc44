"""Waiting for a worker: as long as its machine needs, and not a moment longer than it lives."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.harness.processes import worker_process
from tidecast.connection.embedded import free_port
from tidecast.errors import TidecastError
from tidecast.settings import Settings
from tidecast.tools.readiness import NOTE, await_ready, probe

LOG = '{"event": "model not loaded"}\n{"event": "out of memory"}\n'


class Living:
    """A process that runs for so many looks."""

    def __init__(self, looks: int = 10_000, code: int = 1) -> None:
        self.looks = looks
        self.code = code

    def poll(self) -> int | None:
        """Return the exit code once the looks are used up."""
        self.looks -= 1
        return None if self.looks >= 0 else self.code


@contextmanager
def health_port(answers: list[tuple[int, str]]) -> Iterator[str]:
    """A port that gives these answers one after the other, the last one again and again."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def wait(health: str, process: Living, **how: float) -> tuple[bool, list[str]]:
    """Wait; return whether the worker compiled, and the lines shown."""
    shown: list[str] = []
    return await_ready(health, process, lambda: LOG, show=shown.append, **how), shown


@pytest.mark.parametrize("late", [0, 3, 12])
def test_a_worker_that_is_ready_late_is_waited_for(late: int) -> None:
    """The number of probes is not limited, and a slow start is not called compiling."""
    with health_port([(503, "503 Service Unavailable\n")] * late + [(200, "200 OK\n")]) as health:
        assert (False, []) == wait(health, Living())


@pytest.mark.parametrize("body", ["compiling", "503 Service Unavailable: compiling\n"])
def test_a_worker_that_compiles_is_said_to_compile_once(body: str) -> None:
    """A visitor reads why nothing happens; one line, not one for each probe."""
    with health_port([(503, "starting")] * 2 + [(503, body)] * 4 + [(503, "starting"), (200, "OK")]) as health:
        assert (True, [NOTE]) == wait(health, Living())


@pytest.mark.parametrize("code", [1, 2, -6, -9])
def test_a_worker_that_ends_is_not_waited_for(code: int) -> None:
    """The error comes at once, with the exit code and the end of the log."""
    with health_port([(503, "compiling")]) as health, pytest.raises(TidecastError) as caught:
        wait(health, Living(looks=3, code=code))
    assert f"ended with exit code {code} before it was ready" in str(caught.value)
    assert str(caught.value).endswith('out of memory"}')


def test_a_worker_that_never_listens_and_ends_is_not_waited_for() -> None:
    """A refused connection is not a failure, but the end of the process is."""
    with pytest.raises(TidecastError, match="exit code 1"):
        wait(f"http://127.0.0.1:{free_port()}", Living(looks=2))


def test_a_worker_that_lives_but_is_never_ready_is_given_up_in_the_end() -> None:
    """A demo in CI must end; the message has the end of the log."""
    with (
        health_port([(503, "starting")]) as health,
        pytest.raises(TidecastError, match=r"not ready after 0\.2 s") as caught,
    ):
        wait(health, Living(), timeout_s=0.2)
    assert "out of memory" in str(caught.value)


def test_a_log_without_a_line_is_said_to_be_empty() -> None:
    """An empty end of a sentence would look like a fault of ours."""
    with pytest.raises(TidecastError, match="its log is empty"):
        await_ready(f"http://127.0.0.1:{free_port()}", Living(looks=0), lambda: " \n")


def test_an_answer_that_is_not_http_is_not_ready() -> None:
    """Another program may have taken the port."""
    program = (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\n"
        "c = s.accept()[0]\nc.recv(9999)\nc.sendall(b'SSH-2.0\\r\\n')\nc.close()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert (False, "") == probe(f"http://127.0.0.1:{port}")


@pytest.mark.usefixtures("redis")
def test_a_real_worker_becomes_ready(settings: Settings) -> None:
    """Both sides agree: the port gives the expected answer."""
    port = free_port()
    url = settings.redis_url.get_secret_value()
    with worker_process(url, settings.store, "--health-port", str(port)) as process:
        await_ready(f"http://127.0.0.1:{port}", process, lambda: "")
        assert probe(f"http://127.0.0.1:{port}")[0]
