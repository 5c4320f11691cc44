"""Post messages to a web address; nothing that is raised or logged here contains the address' secrets."""

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from urllib.parse import unquote, urlsplit

from tidecast import __version__
from tidecast.errors import TidecastError
from tidecast.settings import NotifySettings

REFUSALS = (400, 413, 422)  # the receiver will never take this body
LOGIN = "check the user and the password in notify.url, notify.token or notify.headers"
PATH = "check the path of notify.url"
REMEDIES = {401: LOGIN, 403: LOGIN, 404: PATH, 405: PATH, 410: PATH, 429: "lower notify.rate"}
MOVED = "set notify.url to the address that it redirects to"
ALERTS_PATH = "/api/v2/alerts"


class DeliveryError(TidecastError):
    """A message that the receiver did not take.

    Attributes:
        refused: whether it will not take this message later either.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class Receiver:
    """The web address that messages are posted to.

    Attributes:
        place: its scheme, host and port, without user, password and path.
    """

    def __init__(self, settings: NotifySettings) -> None:
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

        def give_up() -> None:  # the timeout of the socket is for one read; a slow sender could prolong it for ever
            late.set()
            with suppress(OSError, AttributeError):  # it is closed already
                connection.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            connection.connect()
            if late.is_set():  # before there was a socket to shut down
                raise TimeoutError
            connection.request("POST", self._path, body, self._headers)
            status = connection.getresponse().status
        except (OSError, HTTPException, ValueError) as exc:
            raise DeliveryError(f"{self.place}: {self._reason(exc, late=late.is_set())}") from None
        finally:
            timer.cancel()
            connection.close()
        if not 200 <= status < 300:
            raise DeliveryError(f"{self.place} answers {_named(status)}", refused=status in REFUSALS)

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
            return exc.strerror or type(exc).__name__
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


def _named(status: int) -> str:
    """Return a status with its meaning and the remedy; the text of the receiver could repeat a secret."""
    named = str(status)
    with suppress(ValueError):
        named += f" {HTTPStatus(status).phrase}"
    remedy = MOVED if 300 <= status < 400 else REMEDIES.get(status)
    return f"{named}: {remedy}" if remedy else named
