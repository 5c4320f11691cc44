"""A real Redis with TLS, and the authorities that sign its certificate; made with the `openssl` program."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis

from tests.chaos.faults.proxy import Proxy
from tests.harness.servers.ports import free_port
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
        files = {"cert": certificate, "key": key, "ca-cert": certificate}
        paths = [word for name, path in files.items() for word in (f"--tls-{name}-file", str(path))]
        try:
            own = EmbeddedRedis(server, ("--tls-port", str(port), *paths, "--tls-auth-clients", "no"))
            running = stack.enter_context(own)
        except TidecastError as exc:
            if "Bad directive" not in str(exc):
                raise
            running = stack.enter_context(EmbeddedRedis(server))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            port = stack.enter_context(Proxy(running.port, context)).port
        with Redis(port=running.port, protocol=2) as redis:
            redis.config_set("requirepass", password)
        yield port


def _new_key(key: Path) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S607 - the PATH's
