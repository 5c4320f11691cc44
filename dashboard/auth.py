"""Access control for the pages: open to all users of this machine, or only with the token."""

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.pages.plain import plain_page
from tidecast.errors import SettingsError

COOKIE = "tidecast_dashboard"
COOKIE_S = 30 * 86_400
LOGIN = "/login"
MOST_BYTES = 4096  # of a form
LEAST_TOKEN = 8  # characters
FORM = """<form method="post" action="/login"><label>Token
<input name="token" type="password" autofocus autocomplete="current-password"></label>
<button>Open the dashboard</button></form><p>SENTENCE</p>"""


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from this machine."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_access(host: str, token: str) -> None:
    """Check that the pages are not open to others by oversight.

    Raises:
        SettingsError: the server would listen beyond this machine without a token, or the token is too short.
    """
    if not token and not is_loopback(host):
        raise SettingsError(
            f"setting dashboard.host is {host}, which others reach, and there is no token: set "
            "TIDECAST_DASHBOARD__TOKEN, or listen on 127.0.0.1"
        )
    if token and len(token) < LEAST_TOKEN:
        raise SettingsError(f"setting dashboard.token has {len(token)} characters: use at least {LEAST_TOKEN}")


class Access:
    """Middleware that guards all pages and their WebSocket.

    Without a token it admits requests whose host is a loopback name of this machine. This refuses a foreign page whose
    domain name resolves to this machine. With a token it requires the token once, by a form or as `?token=`, and then
    a cookie.

    Args:
        app: the guarded application.
        token: empty: no token is required.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        # The token cannot be derived from the cookie.
        self._cookie = hmac.new(token.encode(), b"dashboard", hashlib.sha256).hexdigest() if token else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or answer it with the form or a refusal."""
        if scope["type"] == "lifespan" or self._may_enter(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            request = Request(scope, receive)
            answer = await self._ask(request) if self._token else _turned_away(request)
            await answer(scope, receive, send)

    def _may_enter(self, scope: Scope) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self._token:
            return is_loopback(_host_of(headers.get(b"host", "")))
        return hmac.compare_digest(_cookie_of(headers.get(b"cookie", "")).encode(), self._cookie.encode())

    async def _ask(self, request: Request) -> Response:
        given = request.query_params.get("token", "")
        if request.method == "POST" and request.url.path == LOGIN:
            given = await _posted(request)
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return self._let_in(request)
        sentence = "That is not the token." if given else "The token is the setting <code>dashboard.token</code>."
        return plain_page(FORM.replace("SENTENCE", sentence), 401)

    def _let_in(self, request: Request) -> Response:
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        path = "/" if request.url.path == LOGIN else "/" + request.url.path.lstrip("/")
        answer = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, self._cookie, COOKIE_S, httponly=True, samesite="strict", secure=secure)
        return answer


def _turned_away(request: Request) -> Response:
    return Response(f"{request.url.hostname} is not a name of this machine: open the dashboard at 127.0.0.1\n", 403)


def _host_of(header: str) -> str:
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]


def _cookie_of(header: str) -> str:
    try:
        cookie = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


async def _posted(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return ""
    return parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
