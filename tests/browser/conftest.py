"""The fixtures of the tests in a browser: Chromium, a Redis of their own, and the dashboard as a process."""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tidecast.connection.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
START_S = 60
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TOKEN = "a-token-of-tests"  # noqa: S105 - of these tests alone


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pictures docs/images` keeps the pictures that are taken."""
    parser.addoption("--pictures", type=Path, help="the folder that pictures go to; else they go with the test's own")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave this folder out, unless it is named: it needs a browser."""
    return None if config.getoption("markexpr") == "browser" else True


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Chromium, as the system has it."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"none of {', '.join(PROGRAMS)} is on the PATH: install Chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A fresh window; a request beyond this machine, or an error in the page, fails the test."""
    window = browser.new_page(viewport={"width": 1440, "height": 900})
    wrong: list[str] = []
    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("request", lambda request: None if _is_own(request.url) else wrong.append(request.url))
    yield window
    window.close()
    assert [] == wrong


@pytest.fixture
def server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, which it may kill."""
    with EmbeddedRedis(redis_program, ("--appendonly", "yes")) as running:
        yield running


@pytest.fixture
def connection(server: EmbeddedRedis) -> Iterator[Redis]:
    """To that Redis."""
    with Redis.from_url(server.url, protocol=2) as opened:
        yield opened


@pytest.fixture
def address(server: EmbeddedRedis, tmp_path: Path) -> Iterator[str]:
    """A dashboard on that Redis, and on a store of the test's own."""
    with dashboard(server, tmp_path / "models") as url:
        yield url


@contextmanager
def dashboard(server: EmbeddedRedis, store: Path, **variables: str) -> Iterator[str]:
    """`tidecast dashboard` for the length of the block; gives its address."""
    command = [sys.executable, "-m", "tidecast.cli", "dashboard", "--port", "0", "--store", str(store)]
    settings = {f"TIDECAST_{name}": value for name, value in variables.items()} | {"TIDECAST_REDIS_URL": server.url}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | settings)
    try:
        assert process.stdout
        assert select.select([process.stdout], [], [], START_S)[0], "the dashboard has said nothing"
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert 0 == process.returncode


def _is_own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:"))
