"""TLS: clients and workers check certificates, the authority and the host name; the message names the fault."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import forked_worker
from tests.harness.servers.tls import HOST, make_authority, sign, tls_redis
from tidecast.client import AsyncClient, Client
from tidecast.connection import connect, explain
from tidecast.errors import SettingsError
from tidecast.settings import load_settings

PASSWORD = "hunter2"  # noqa: S105 - a test's


@dataclass(frozen=True)
class Tls:
    """A server with TLS under the name `localhost`."""

    port: int
    authority: Path
    stranger: Path  # an authority that did not sign its certificate

    def url(self, host: str = HOST) -> str:
        """Return where it listens."""
        return f"rediss://:{PASSWORD}@{host}:{self.port}"


@pytest.fixture(scope="module")
def tls(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    """One server for the module."""
    folder = tmp_path_factory.mktemp("tls")
    authority = make_authority(folder, "authority")
    stranger = make_authority(folder, "stranger")
    with tls_redis(redis_program, *sign(authority, HOST), PASSWORD) as port:
        yield Tls(port, authority, stranger)


def run_worker(tls: Tls, store: Path, authority: Path, host: str = HOST) -> AbstractContextManager[Forked]:
    """Run a worker process that answers the readings."""
    return forked_worker(tls.url(host), store, "--burst", REDIS_CA=str(authority))


def test_a_worker_and_a_client_speak_tls(tls: Tls, tmp_path: Path) -> None:
    """With the right authority; the reading is answered."""
    with Client(tls.url(), redis_ca=tls.authority) as client:
        entry_id = client.push("a", 1.0)
        with run_worker(tls, tmp_path, tls.authority) as process:
            assert 0 == process.wait(PATIENCE_S)
        assert entry_id in {forecast.id for forecast in client.forecasts("0", block_ms=1, stop_when_idle=True)}


async def test_the_asyncio_client_does_the_same(tls: Tls) -> None:
    """It is as strict."""
    async with AsyncClient(tls.url(), redis_ca=tls.authority) as client:
        assert await client.push("a", 1.0)
    async with AsyncClient(tls.url(), redis_ca=tls.stranger) as client:
        with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.push("a", 1.0)


@pytest.mark.parametrize(
    ("authority", "host", "said"),
    [("stranger", HOST, "certificate verify failed"), ("authority", "127.0.0.1", "IP address mismatch")],
)
def test_a_certificate_that_does_not_fit_is_refused(tls: Tls, authority: str, host: str, said: str) -> None:
    """Another authority's, or another host's; the sentence names the remedy and no password."""
    client = Client(tls.url(host), redis_ca=getattr(tls, authority))
    with client, pytest.raises(RedisConnectionError, match=said) as caught:
        client.push("a", 1.0)
    sentence = explain(caught.value)
    assert "name the authority that signed it in redis_ca, and the host in redis_url" in sentence
    assert PASSWORD not in sentence


def test_without_redis_ca_the_systems_authorities_count(tls: Tls) -> None:
    """They did not sign this one."""
    with Client(tls.url()) as client, pytest.raises(RedisConnectionError, match="certificate verify failed"):
        client.push("a", 1.0)


@pytest.mark.parametrize(("authority", "host"), [("stranger", HOST), ("authority", "127.0.0.1")])
def test_a_worker_says_that_a_certificate_does_not_fit(tls: Tls, tmp_path: Path, authority: str, host: str) -> None:
    """It waits for the mistake to be mended, and never shows the password."""
    with run_worker(tls, tmp_path, getattr(tls, authority), host) as process:
        assert process.stderr
        line = process.stderr.readline()
        process.terminate()
        _, rest = process.communicate(timeout=PATIENCE_S)
    assert "Redis' certificate is not accepted" in line
    assert "redis_ca" in line
    assert PASSWORD not in line + rest


@pytest.mark.parametrize("setting", ["ssl_cert_reqs=none", "ssl_check_hostname=False", "ssl_cert_reqs=optional"])
@pytest.mark.parametrize("cluster", [False, True])
def test_the_check_cannot_be_switched_off(setting: str, cluster: bool) -> None:
    """An option in the address must not do it."""
    options: dict[str, Any] = {"redis_cluster": cluster, "partitions": 2}
    for kind in (Client, AsyncClient):
        with pytest.raises(SettingsError, match="leave it out, certificates are always checked"):
            kind(f"rediss://h:1?{setting}", **options)


def test_an_authority_that_cannot_be_used_is_a_setting_to_mend(tmp_path: Path) -> None:
    """A file that is not there, and one without TLS."""
    with pytest.raises(SettingsError, match=r"absent\.pem, which is not a file"):
        connect(load_settings(redis_url="rediss://h:1", redis_ca=tmp_path / "absent.pem"))
    (tmp_path / "ca.pem").touch()
    with pytest.raises(SettingsError, match="begin it with rediss://"):
        connect(load_settings(redis_url="redis://h:1", redis_ca=tmp_path / "ca.pem"))
