"""Redis over IPv6: every client and command takes an address in brackets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.patience import until
from tests.harness.processes import forked_worker, run_command
from tidecast.client import AsyncClient, Client
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import SettingsError
from tidecast.settings import load_settings


@pytest.fixture(scope="module")
def server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A server that listens on IPv6 too; its start is checked over IPv4."""
    with EmbeddedRedis(redis_program, ("--bind", "127.0.0.1", "::1")) as running:
        yield running


@pytest.fixture
def url(server: EmbeddedRedis) -> str:
    """Its address, emptied."""
    with Redis(port=server.port) as redis:
        redis.flushall()
    return f"redis://[::1]:{server.port}/0"


async def test_both_clients_push_over_ipv6(url: str) -> None:
    """The one with asyncio too."""
    with Client(url) as client:
        client.push("a", 1.0, 1000)
    async with AsyncClient(url) as client_of_loop:
        await client_of_loop.push("a", 2.0, 2000)
    with connect(load_settings(redis_url=url)) as redis:
        assert 2 == redis.xlen("readings")


def test_a_worker_answers_over_ipv6_and_its_probes_listen_there(url: str, tmp_path: Path) -> None:
    """The host of the probes may be written with brackets, as in an address."""
    with Client(url) as client:
        client.push("a", 1.0, 1000)
    with (
        forked_worker(url, tmp_path / "models", WORKER__HEALTH_HOST="[::1]", WORKER__HEALTH_PORT="0") as process,
        connect(load_settings(redis_url=url)) as redis,
    ):
        until(lambda: redis.xlen("forecasts") == 1)
        process.terminate()
        assert 0 == process.wait()


@pytest.mark.parametrize("address", ["[::1]", "::1"])
def test_an_address_without_brackets_is_refused_and_one_with_them_is_named_whole(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without brackets the end of the address and the port cannot be separated."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings(redis_url=f"redis://{address}:1/0")
    kind = RedisConnectionError if address.startswith("[") else SettingsError
    with pytest.raises(kind):
        connect(settings).ping()
    assert (1 if address.startswith("[") else 2) == run_command("tail", "--redis", f"redis://{address}:1/0")
    assert ("::1:1" in (err := capsys.readouterr().err)) == address.startswith("[")
    assert 1 == err.count("\n")
