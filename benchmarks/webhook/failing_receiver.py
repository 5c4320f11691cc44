"""A web server that refuses all messages for a while from the first one on, and then takes them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FailingReceiver:
    """The events that the server has taken, and the number of messages that it has refused.

    Args:
        fails_s: how long it refuses messages, from the first one on.

    Attributes:
        taken: the series and the number of each event, in the order of arrival, repeated ones included.
        refused: the number of refused messages.
        url: the address.
    """

    def __init__(self, fails_s: float) -> None:
        self.taken: list[tuple[str, int]] = []
        self.refused = 0
        self.url = ""
        self._fails_s = fails_s
        self._until: float | None = None

    def answer(self, body: bytes) -> int:
        """Take or refuse a message; return the status."""
        now = time.monotonic()
        self._until = self._until or now + self._fails_s
        if now < self._until:
            self.refused += 1
            return 503
        events = json.loads(body)["events"]  # the worker may have written some of its own
        self.taken += [(event["series"], int(event["detail"])) for event in events if event["detail"].isdigit()]
        return 200

    def disordered(self) -> int:
        """Return how many events came for the first time after a later one of their series."""
        newest: dict[str, int] = {}
        count = 0
        for series, number in dict.fromkeys(self.taken):
            count += number < newest.get(series, -1)
            newest[series] = max(number, newest.get(series, -1))
        return count


@contextmanager
def failing_receiver(fails_s: float) -> Iterator[FailingReceiver]:
    """Serve on a free port of this machine, on threads of this process."""
    receiver = FailingReceiver(fails_s)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(receiver.answer(self.rfile.read(int(self.headers["Content-Length"]))))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
