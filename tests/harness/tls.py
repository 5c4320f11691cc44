"""A real Redis with TLS, and the authorities that sign its certificate; made with the `openssl` program."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis

from tests.harness.cluster import free_port
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import TidecastError

HOST = "localhost"  # the name in the certificate


def make_authority(folder: Path, name: str) -> Path:
    """Make an authority of one's own; return its certificate."""
    certificate = folder / f"{name}.crt"
    key = folder / f"{name}.key"
    extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    _openssl("req", "-x509", *_new_key(key), "-subj", f"/CN={name}", *extensions, "-out", str(certificate))
    return certificate


def sign(authority: Path, host: str) -> tuple[Path, Path]:
    """Sign a certificate for a host; return it and its key."""
    folder = authority.parent
    certificate, key, request, names = (folder / f"{host}.{kind}" for kind in ("crt", "key", "csr", "txt"))
    names.write_text(f"subjectAltName=DNS:{host}\n")
    _openssl("req", *_new_key(key), "-subj", f"/CN={host}", "-out", str(request))
    signer = ("-CA", str(authority), "-CAkey", str(authority.with_suffix(".key")), "-CAcreateserial")
    paths = ("-in", str(request), "-out", str(certificate), "-extfile", str(names))
    _openssl("x509", "-req", "-days", "2", *signer, *paths)
    return certificate, key


@contextmanager
def tls_redis(server: str, certificate: Path, key: Path, password: str) -> Iterator[int]:
    """A server's TLS port; where its program was built without TLS, a proxy in front of it adds it."""
    with ExitStack() as stack:
        port = free_port()
        paths = (
            "--tls-cert-file",
            str(certificate),
            "--tls-key-file",
            str(key),
            "--tls-ca-cert-file",
            str(certificate),
        )
        try:
            own = EmbeddedRedis(server, ("--tls-port", str(port), *paths, "--tls-auth-clients", "no"))
            running = stack.enter_context(own)
        except TidecastError as exc:
            if "Bad directive" not in str(exc):
                raise
            running = stack.enter_context(EmbeddedRedis(server))
            port = stack.enter_context(_TlsFront(running.port, certificate, key)).port
        with Redis(port=running.port, protocol=2) as redis:
            redis.config_set("requirepass", password)
        yield port


class _TlsFront(threading.Thread):
    """A TLS server that passes its input on to a plain port, and back."""

    def __init__(self, target: int, certificate: Path, key: Path) -> None:
        super().__init__(name="tls-front", daemon=True)
        self.port = 0
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """Serve until the stop event is set."""
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def __enter__(self) -> "_TlsFront":
        self.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(_pass_on(reader, inner_writer), _pass_on(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:  # either side hung up
        pass
    finally:
        writer.close()


def _new_key(key: Path) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S607 - the PATH's
