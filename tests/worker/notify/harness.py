"""A real web server that takes messages, fails and hangs as it is told, and a notifier that posts to it."""

import json
import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from redis import Redis

from tests.harness.events import happen
from tidecast.settings import NotifySettings, Settings
from tidecast.wire import Event
from worker.metrics import Health
from worker.notify.notifier import Notifier
from worker.notify.receiver import Receiver
from worker.notify.right import NotifyRight

# Answers: none at all, a head that never ends, what is not HTTP, and a closed connection.
HANG, DRIP, GARBAGE, CLOSED = -1, -2, -3, -4
TTL_S = 60.0


class Inbox:
    """A web server on this machine.

    Args:
        tls: makes it use TLS.

    Attributes:
        answers: the statuses of the next requests, or `HANG`, `DRIP`, `GARBAGE` or `CLOSED`; then 200.
        taken: the bodies of the requests that were answered with 200.
        heads: the headers of all requests.
        paths: the paths of all requests.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: deque[int] = deque()
        self.taken: list[Any] = []
        self.heads: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.too_many = 10**6  # a body with so many events or more is answered with `too_many_status`
        self.too_many_status = 413
        self._closing = threading.Event()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox._answer(self)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.address = f"127.0.0.1:{self._server.server_port}"

    def details(self) -> list[str]:
        """Return the details of all events taken, in the order in which they came."""
        return [event["detail"] for body in self.taken for event in body["events"]]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.heads.append(dict(request.headers))
        self.paths.append(request.path)
        status = self.answers.popleft() if self.answers else 200
        if isinstance(body, dict) and len(body["events"]) >= self.too_many:
            status = self.too_many_status
        if status == GARBAGE:
            request.wfile.write(b"secret token abc\r\n\r\n")
        while status in (HANG, DRIP) and not self._closing.wait(0.01):
            if status == DRIP:
                request.wfile.write(b"H")
        if status == 200:
            self.taken.append(body)
        if status > 0:
            request.send_response(status)
            request.end_headers()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Notifying:
    """A notifier whose clock is the test's."""

    def __init__(self, redis: Redis, settings: Settings, inbox: Inbox, name: str = "one", **notify: Any) -> None:
        options = {"url": f"http://{inbox.address}/", "timeout": 60, "group_wait": 5, "rate": 60} | notify
        self.settings = settings.model_copy(update={"notify": NotifySettings(**options)})
        self.health = Health()
        self.right = NotifyRight(redis, lambda: self.settings, name, TTL_S)
        self.notifier = Notifier(
            redis, lambda: self.settings, self.right, Receiver(self.settings.notify), self.health.notify
        )
        self.now = 1_700_000_000.0

    def run(self, seconds: float) -> None:
        """Let so many seconds of its clock go by."""
        end = self.now + seconds
        while self.now < end:
            self.now += max(0.001, min(end - self.now, self.notifier.step(self.now)))

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.health.registry.get_sample_value(name, labels) or 0.0


def anomalies(redis: Redis, first: int, count: int, partitions: int = 1) -> list[str]:
    """Put numbered events on the streams, of five series in turn; return their details."""
    numbers = range(first, first + count)
    for number in numbers:
        event = Event("anomaly", str(number), f"s{number % 5}", facts={"phase": "begins", "value": 1.0})
        happen(redis, event, number % 5 % partitions, partitions)
    return [str(number) for number in numbers]
