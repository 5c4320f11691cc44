"""The address of Sentinels, and clients and workers that follow the master which they name."""

from itertools import islice
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S
from tests.harness.processes import forked_worker
from tests.harness.servers.sentinels import watched_pair
from tidecast.client import AsyncClient, Client
from tidecast.connection import check_address
from tidecast.connection.sentinel import sentinel_address
from tidecast.errors import SettingsError
from tidecast.settings import load_settings

TS = 1_700_000_000_000


def test_an_address_names_the_sentinels_and_the_master() -> None:
    """Ports and the database may be left out; names and passwords may have signs that are written as %."""
    address = sentinel_address("rediss+sentinel://u:p%40ss@a,[::1]:5000/main/2?sentinel_password=other")
    assert address
    assert (("a", 26379), ("::1", 5000)) == address.sentinels
    assert ("main", 2, "u", "p@ss") == (address.name, address.db, address.user, address.password)
    assert ("", "other", True) == (address.sentinel_user, address.sentinel_password, address.tls)
    assert sentinel_address("redis://a:1/0") is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://a:1", "names no master that the Sentinels watch"),
        ("redis+sentinel://a:1/main/x", "names no master that the Sentinels watch"),
        ("redis+sentinel://a:99999/main", "has a Sentinel without a host or a port"),
        ("redis+sentinel://a:1,/main", "has a Sentinel without a host or a port"),
        ("redis+sentinel://a:1/main?db=2", "has an unknown option, db: use sentinel_username"),
        ("redis+sentinel://:hun/ter2@a:1/main", "has a / ? or # before an @"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(url: str, problem: str) -> None:
    """Any part of it may be the password."""
    with pytest.raises(SettingsError) as caught:
        check_address(load_settings(redis_url=url))
    assert problem in str(caught.value)
    assert "ter2" not in str(caught.value)


def test_sentinels_are_no_cluster() -> None:
    """The two do not go together."""
    settings = load_settings(redis_url="redis+sentinel://a:1/main", redis_cluster=True, partitions=2)
    with pytest.raises(SettingsError, match="Sentinels watch a single master"):
        check_address(settings)


async def test_a_worker_and_its_clients_follow_the_master(redis_program: str, tmp_path: Path) -> None:
    """The master dies, its replica takes over, and readings are answered as before."""
    with (
        watched_pair(redis_program, tmp_path) as pair,
        Client(pair.url) as client,
        forked_worker(pair.url, tmp_path) as process,
    ):
        client.push_many([("a", float(n), TS + 1000 * n) for n in range(20)])
        assert 20 == len(list(islice(client.forecasts("0", block_ms=100), 20)))
        pair.await_replica()
        pair.fail_over()
        client.push_many([("a", float(n), TS + 1000 * n) for n in range(20, 40)])
        answered = islice(client.forecasts("0", block_ms=100), 40)
        assert [float(n) for n in range(40)] == [forecast.y for forecast in answered]
        async with AsyncClient(pair.url) as again:
            assert 40 == len([f async for f in again.forecasts("0", block_ms=1, stop_when_idle=True)])
        process.terminate()
        assert 0 == process.wait(PATIENCE_S)
