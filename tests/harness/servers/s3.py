"""A server of S3 on this machine: moto, which keeps objects in memory and speaks the protocol over HTTP."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from tests.harness.patience import PATIENCE_S

BUCKET = "models"


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """A running server with a bucket.

    Attributes:
        url: a prefix in the bucket.
        variables: of the environment, with which programs find the server.
    """

    url: str
    variables: dict[str, str]


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Yield a server on a free port and an empty prefix; moto keeps one set of objects in a process."""
    from moto.server import ThreadedMotoServer  # here, as it takes long to import

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        keys = {"AWS_ACCESS_KEY_ID": "plant", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        httpx.put(f"{endpoint}/{BUCKET}", timeout=PATIENCE_S).raise_for_status()  # its first request imports a lot
        yield ObjectServer(f"s3://{BUCKET}/{uuid4().hex}", {"AWS_ENDPOINT_URL": endpoint, **keys})
    finally:
        server.stop()


def use(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the server."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
