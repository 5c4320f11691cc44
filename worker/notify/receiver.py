"""Post messages to a web address; nothing that is raised or logged here contains the address' secrets."""

import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from urllib.parse import unquote, urlsplit

from tidecast import __version__
from tidecast.errors import TidecastError
from tidecast.settings import NotifySettings

STOP_WITHIN_S = 0.25  # after a signal nobody waits for an answer
WATCH = "time limit of a post"  # the name of the thread that ends a post
REFUSALS = (400, 413, 422)  # the receiver will never take this body
CRASH = 500  # the status of a receiver that has failed over this body, or over any
LOGIN = "check the user and the password in notify.url, notify.token or notify.headers"
PATH = "check the path of notify.url"
REMEDIES = {401: LOGIN, 403: LOGIN, 404: PATH, 405: PATH, 410: PATH, 429: "lower notify.rate"}
MOVED = "set notify.url to the address that it redirects to"
# By a part of the text of an error of TLS.
TLS_REMEDIES = {
    "CERTIFICATE_VERIFY_FAILED": "name its authority in SSL_CERT_FILE, and its host in notify.url as it does",
    "WRONG_VERSION_NUMBER": "if it does not use TLS on this port, begin notify.url with http://",
}
HOST = "check the host of notify.url"
REFUSED = "start the receiver, or check the host and the port of notify.url"
RESET = "if it uses TLS, begin notify.url with https://"
ALERTS_PATH = "/api/v2/alerts"


class DeliveryError(TidecastError):
    """A message that the receiver did not take.

    Attributes:
        refused: whether it will not take this message later either.
        splits: whether it may take a part of the message, since it has failed over the whole one.
        stopped: whether this program must end, so that nobody waited for the answer.
    """

    def __init__(self, reason: str, *, refused: bool = False, splits: bool = False, stopped: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused
        self.splits = splits
        self.stopped = stopped


class Receiver:
    """The web address that messages are posted to.

    Attributes:
        asked_to_stop: returns whether the program must end; called often while a message is posted.
        place: its scheme, host and port, without user, password and path.
    """

    def __init__(self, settings: NotifySettings) -> None:
        self.asked_to_stop: Callable[[], bool] = lambda: False
        parts = urlsplit(settings.url.get_secret_value())
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        path = parts.path or "/"
        if settings.format == "alertmanager" and path == "/":
            path = ALERTS_PATH
        self._path = f"{path}?{parts.query}" if parts.query else path
        self._timeout_s = settings.timeout
        self._headers = dict(_headers(settings, parts.username, parts.password))
        self.place = f"{parts.scheme}://{self._host}:{self._port}"

    def post(self, body: bytes) -> None:
        """Post a JSON body.

        Raises:
            DeliveryError: the receiver does not answer, takes too long, or answers with a status other than 2xx.
        """
        connection = self._connection()
        late = threading.Event()
        done = threading.Event()

        def watch() -> None:  # the timeout of the socket is for one read; a slow sender could prolong it for ever
            ends_at = time.monotonic() + self._timeout_s
            while (left_s := ends_at - time.monotonic()) > 0 and not self.asked_to_stop():
                if done.wait(min(left_s, STOP_WITHIN_S)):
                    return
            late.set()
            with suppress(OSError, AttributeError):  # it is closed already
                connection.sock.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=watch, name=WATCH, daemon=True).start()
        try:
            connection.connect()
            if late.is_set():  # before there was a socket to shut down
                raise TimeoutError
            connection.request("POST", self._path, body, self._headers)
            status = connection.getresponse().status
        except (OSError, HTTPException, ValueError) as exc:
            closed = isinstance(exc, ConnectionResetError | BrokenPipeError) and not late.is_set()
            stopped = late.is_set() and self.asked_to_stop()
            reason = self._reason(exc, late=late.is_set())
            raise DeliveryError(f"{self.place}: {reason}", splits=closed, stopped=stopped) from None
        finally:
            done.set()
            connection.close()
        if not 200 <= status < 300:
            refused = status in REFUSALS
            raise DeliveryError(f"{self.place} answers {_named(status)}", refused=refused, splits=status == CRASH)

    def _connection(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)

    def _reason(self, exc: Exception, *, late: bool) -> str:
        if late or isinstance(exc, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(exc, RemoteDisconnected):
            return "it closed the connection without an answer"
        if isinstance(exc, OSError):
            return _explained(exc)
        # The text of the error could repeat what was sent.
        return f"the answer is not HTTP ({type(exc).__name__}): check the scheme and the port of notify.url"


def _headers(settings: NotifySettings, user: str | None, password: str | None) -> Iterator[tuple[str, str]]:
    yield "Content-Type", "application/json"
    yield "User-Agent", f"tidecast/{__version__}"
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        yield "Authorization", f"Basic {b64encode(pair.encode()).decode()}"
    if settings.token.get_secret_value():
        yield "Authorization", f"Bearer {settings.token.get_secret_value()}"
    for header in settings.headers:
        name, _, value = header.get_secret_value().partition(":")
        yield name, value.strip()


def _explained(exc: OSError) -> str:
    """Return an error of the system or of TLS with the remedy."""
    text = exc.strerror or type(exc).__name__
    remedy = next((remedy for part, remedy in TLS_REMEDIES.items() if part in text), None)
    for kind, other in ((socket.gaierror, HOST), (ConnectionRefusedError, REFUSED), (ConnectionResetError, RESET)):
        if isinstance(exc, kind):
            remedy = other
    return f"{text}: {remedy}" if remedy else text


def _named(status: int) -> str:
    """Return a status with its meaning and the remedy; the text of the receiver could repeat a secret."""
    named = str(status)
    with suppress(ValueError):
        named += f" {HTTPStatus(status).phrase}"
    remedy = MOVED if 300 <= status < 400 else REMEDIES.get(status)
    return f"{named}: {remedy}" if remedy else named
