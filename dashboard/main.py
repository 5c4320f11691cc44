"""The dashboard program: a background reader and a web server, which run until a signal stops them."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import app, ui
from nicegui.run import io_bound
from starlette.responses import Response

from dashboard.auth import Access, check_access
from dashboard.connections import limited_protocol
from dashboard.data.board import USUAL_SIZE, View
from dashboard.data.follower import Follower
from dashboard.data.history import RANGES
from dashboard.pages.dead import dead
from dashboard.pages.detail import detail
from dashboard.pages.frame import STYLE, Context
from dashboard.pages.overview import corrected, overview
from dashboard.pages.plain import bad_value, not_found, unknown_series
from dashboard.pages.retraining import retraining
from dashboard.pages.training import training
from tidecast.connection import check_address
from tidecast.listening import ListenAddress, listen, url_of
from tidecast.log import begin_log
from tidecast.settings import Settings
from tidecast.signals import stopping

FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2f80c8"/>'
    '<path d="M5 19q5.5-9 11 0t11 0" fill="none" stroke="#fff" stroke-width="3.5" stroke-linecap="round"/></svg>'
)


GRACE_S = 3  # for open pages, after a signal to stop
NICE = 10  # lower priority than the workers that the dashboard shows


class _Server(uvicorn.Server):
    """A web server that stops at a signal without raising the signal again, as uvicorn's own server does."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM, SIGINT and SIGHUP."""
        former = {number: signal.signal(number, self.handle_exit) for number in stopping()}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def run(settings: Settings) -> None:
    """Serve the pages until a signal stops the program.

    Raises:
        SettingsError: it would listen beyond this machine without a token, or the settings on Redis contradict each
            other.
        SettingsError: the host is not one of this machine, or the port is not available.
    """
    options = settings.dashboard
    token = options.token.get_secret_value()
    check_access(options.host, token)
    check_address(settings)
    begin_log(settings.log_level, settings.log_format)
    listeners = listen(ListenAddress(options.host, options.port, "dashboard.host", "dashboard.port"))
    os.nice(NICE)  # before the reader's thread starts, which inherits it
    with ExitStack() as closing:
        for listener in listeners:
            closing.enter_context(listener)
        follower = closing.enter_context(following(settings))
        server = _server(Access(build(settings, follower), token))
        with suppress(OSError):  # standard output may be closed
            print(f"The dashboard is at {url_of(options.host, listeners[0].getsockname()[1])}", flush=True)
        asyncio.run(server.serve(listeners))


def _server(door: Access) -> _Server:
    """Return the web server for the pages."""
    return _Server(
        uvicorn.Config(
            door,
            http=limited_protocol(),
            log_config=None,
            log_level="warning",
            ws="websockets-sansio",
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def build(settings: Settings, follower: Follower) -> FastAPI:
    """Build the web application with all pages."""
    ui.add_css(STYLE, shared=True)
    _add_pages(settings, Context.of(settings, follower))
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(405, not_found)
    app.add_exception_handler(RequestValidationError, bad_value)
    outer = FastAPI(openapi_url=None)
    ui.run_with(
        outer,
        title="Tidecast",
        favicon=FAVICON,
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        show_welcome_message=False,
        # The first paint waits for the scripts, which are compressed again for each viewer.
        gzip_middleware_factory=lambda inner: GZipMiddleware(inner, minimum_size=1000, compresslevel=1),
    )
    return outer


def _add_pages(settings: Settings, context: Context) -> None:
    """Add the pages. Each is built completely before it is sent: these functions are called for each viewer."""

    def of_all(
        search: str = "",
        state: str = "",
        by: str = "",
        descending: bool = False,
        page: int = 1,
        size: int = USUAL_SIZE,
    ) -> None:
        overview(context, settings, corrected(View(search, state, by, descending, page, size)))

    async def of_series(name: str = "", span: str = "") -> Response | None:
        if not context.board.is_known(name):  # on a thread: the names of thousands of series are compared
            return await io_bound(unknown_series, name, context.board.names())
        ui.page_title(f"{name} · Tidecast")
        detail(context, name, span if span in RANGES else "")
        return None

    ui.page("/", title="Tidecast")(of_all)
    ui.page("/series")(of_series)
    ui.page("/retraining", title="Retraining · Tidecast")(lambda: retraining(context))
    ui.page("/training", title="Trainings · Tidecast")(lambda: training(context))
    ui.page("/dead", title="Dead letters · Tidecast")(lambda reason="", series="": dead(context, reason, series))


@contextmanager
def following(settings: Settings) -> Iterator[Follower]:
    """Run the reader on its own thread during the block."""
    follower = Follower(settings, settings.dashboard.max_series)
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,), name="follower", daemon=True)
    thread.start()
    try:
        yield follower
    finally:
        stop.set()
        thread.join()
