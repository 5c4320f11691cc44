"""Servers that a user may name by mistake in the place of Redis."""

import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.harness.patience import until
from tidecast.connection.embedded import EmbeddedRedis, free_port


@contextmanager
def saying(data: bytes, *, at_once: bool = False) -> Iterator[str]:
    """A server that answers everything with the same words, or greets with them and is silent; gives its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                if at_once:
                    self.request.sendall(data)
                while self.request.recv(65_536):
                    if not at_once:
                        self.request.sendall(data)
            except OSError:  # the client has gone
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


@contextmanager
def deaf() -> Iterator[str]:
    """Start a server that accepts and reads, but never answers; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@contextmanager
def redis_with(program: str, *options: str) -> Iterator[str]:
    """A real Redis with options of its own; gives its address."""
    with EmbeddedRedis(program, options) as server:
        yield server.url


def without(*commands: str) -> tuple[str, ...]:
    """Return the options that disable commands."""
    return tuple(word for command in commands for word in ("--rename-command", command, ""))


@contextmanager
def sentinel(program: str, folder: Path) -> Iterator[tuple[str, str]]:
    """A Sentinel and the Redis that it watches; gives both addresses."""
    port = free_port()
    file = folder / "sentinel.conf"
    with EmbeddedRedis(program) as watched:
        lines = (f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"sentinel monitor main 127.0.0.1 {watched.port} 1")
        file.write_text("\n".join(lines))
        with subprocess.Popen([program, str(file), "--sentinel"], stdout=subprocess.DEVNULL) as process:
            try:
                until(lambda: _answers(port) or process.poll() is not None)
                yield f"redis://127.0.0.1:{port}/0", watched.url
            finally:
                process.kill()


def _answers(port: int) -> bool:
    with Redis(port=port, protocol=2) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False
