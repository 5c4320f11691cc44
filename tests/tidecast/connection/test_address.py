"""The address of Redis: options and databases work as they are meant, or are refused by name."""

import re
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.harness.patience import PATIENCE_S
from tests.harness.processes import forked_worker
from tidecast.client import AsyncClient, Client
from tidecast.connection import connect, connect_async, explain, redis_errors
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.doctor.examination import examine
from tidecast.errors import SettingsError
from tidecast.settings import Settings, load_settings
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

HOST = "redis://127.0.0.1:6379"
REFUSED = {
    "protocol=3": "protocol",
    "decode_responses=True": "decode_responses",
    "decode_responses=yes": "decode_responses",
    "encoding=latin-1": "encoding",
    "encoding_errors=replace": "encoding_errors",
    "legacy_responses=False": "legacy_responses",
    "retry_on_timeout=true": "retry_on_timeout",
    "retry_on_error=TimeoutError": "retry_on_error",
    "socket_timeout=1": "socket_timeout",
    "socket_connect_timeout=0.1": "socket_connect_timeout",
    "timeout=20": "timeout",
    "ssl_cert_reqs=none": "ssl_cert_reqs",
    "ssl_check_hostname=false": "ssl_check_hostname",
    "ssl_ca_certs=/x": "ssl_ca_certs",
    "health_check_interval=often": "health_check_interval",
    "max_connections=1": "max_connections",
    "max_connections=many": "max_connections",
    "client_name=my worker": "client_name",
    "socket_read_size=0": "socket_read_size",
    "connection_class=x": "connection_class",
    "host=elsewhere": "host",
    "path=/x": "path",
    "socket_timout=1": "socket_timout",
    "client_name=a&client_name=b": "client_name twice",
    "ssl_ciphers=HIGH": "ssl_ciphers, but no TLS",
    "Sec-ret=x": "an option that",
}
HARMLESS = (
    "protocol=2",
    "decode_responses=False",
    "encoding=utf-8",
    "encoding=UTF8&encoding_errors=strict",
    "health_check_interval=1",
    "retry_on_timeout=no",
    "max_connections=8",
    "max_connections=50&client_name=w-1",
    "client_name=tidecast",
    "socket_keepalive=True",
    "lib_name=mine&lib_version=1.0",
    "db=",
    "db=0",
    "protocol=",
)


def settings_of(url: str, **given: Any) -> Settings:
    """Settings with this address."""
    return load_settings(redis_url=url, worker={"block": "1ms"}, **given)


@pytest.mark.parametrize("query", REFUSED)
@pytest.mark.parametrize("opened", [connect, connect_async])
def test_an_option_that_changes_what_the_code_relies_on_is_refused_by_name(query: str, opened: Any) -> None:
    """In redis-py the address wins: `?protocol=3` gave a KeyError at every step, for ever."""
    with pytest.raises(SettingsError, match=rf"^setting redis_url has .*\b{REFUSED[query]}"):
        opened(settings_of(f"{HOST}/0?{query}"))


@pytest.mark.parametrize("query", HARMLESS)
def test_a_worker_and_a_client_work_with_harmless_options(
    redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path, query: str
) -> None:
    """Some tune the pool, others name the default."""
    settings = settings_of(f"{redis_server.url}?{query}", store=tmp_path)
    with Client(settings.redis_url.get_secret_value()) as client:
        entry_id = client.push("a", 1.0)
    make_worker(settings, Health()).run(Stop(), burst=True)
    assert [entry_id.encode()] == [made for made, _ in redis.xrange("forecasts")]


async def test_the_asyncio_client_works_with_harmless_options(redis_server: EmbeddedRedis, redis: Redis) -> None:
    """The same."""
    query = "?decode_responses=False&health_check_interval=1&max_connections=20&client_name=a"
    async with AsyncClient(redis_server.url + query) as client:
        assert await client.push("a", 1.0)
    assert 1 == redis.xlen("readings")


def test_a_name_given_to_the_connection_is_the_connections(redis_server: EmbeddedRedis) -> None:
    """Harmless options are passed on, not dropped."""
    with connect(settings_of(f"{redis_server.url}?client_name=tidecast-w1")) as connection:
        assert "tidecast-w1" == connection.client_getname()


def test_the_version_of_the_library_is_looked_up_once(
    redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py reads it from a file for each connection: that was half the processor time of taking over partitions."""
    with connect(settings_of(redis_server.url)) as redis:
        monkeypatch.setattr("redis.utils.metadata.version", lambda _: pytest.fail("looked up again"))
        with redis.client(), redis.client():
            assert redis.ping()


@pytest.mark.parametrize(
    ("url", "database"),
    [
        (HOST, 0),
        (f"{HOST}/", 0),
        (f"{HOST}/0", 0),
        (f"{HOST}/7/", 7),
        (f"{HOST}/%37", 7),
        (f"{HOST}?db=7", 7),
        (f"{HOST}/7?db=7", 7),
        ("rediss://127.0.0.1:6379/7", 7),
        ("unix:///run/redis.sock", 0),
        ("unix:///run/redis.sock?db=7", 7),
        ("unix:///run/redis/7?db=1&password=x", 1),
    ],
)
def test_a_database_is_the_one_that_the_address_names(url: str, database: int) -> None:
    """In the path, as an option, or beside a socket."""
    with connect(settings_of(url)) as connection:
        assert database == connection.get_connection_kwargs().get("db", 0)


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/mydb",
        f"{HOST}/1/2",
        f"{HOST}//1",
        f"{HOST}/-1",
        f"{HOST}/1.0",
        f"{HOST}/0x1",
        f"{HOST}/1%20",
        f"{HOST}/%D9%A3",
        f"{HOST}/99999999999",
        f"{HOST}?db=abc",
        f"{HOST}?db=-1",
        f"{HOST}?db=1.5",
        f"{HOST}/1?db=2",
        f"{HOST}?db=1&db=2",
        f"{HOST}/0#1",
        "rediss://127.0.0.1:6379/db0",
        "unix:///run/redis.sock?db=abc",
    ],
)
def test_a_database_that_is_not_a_number_is_refused(url: str) -> None:
    """It was silently another one: `/mydb` was 0, and `/1/2` was 12."""
    for opened in (connect, connect_async):
        with pytest.raises(SettingsError, match=r"^setting redis_url (names|has) .*(database|db|#)"):
            opened(settings_of(url))


def test_a_worker_ends_where_redis_has_no_such_database(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    """It used to retry for ever, which hides a typing error."""
    url = redis_server.url.replace("/0", "/99")
    with forked_worker(url, tmp_path, "--burst") as process:
        _, output = process.communicate(PATIENCE_S)
        assert 2 == process.returncode
    sentence = "redis_url names a database that Redis does not have (DB index is out of range): end it with a lower"
    assert 1 == output.count(sentence)


def test_the_doctor_finds_a_database_that_redis_does_not_have(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    """With the remedy."""
    findings = examine(settings_of(redis_server.url.replace("/0", "/99"), store=tmp_path, retrain={"every": "never"}))
    assert ["database"] == [finding.check for finding in findings if finding.severity == "error"]


@pytest.mark.parametrize("text", ["invalid DB index", "SELECT is not allowed in cluster mode"])
def test_other_refusals_of_a_database_are_explained_too(text: str) -> None:
    """Older and clustered servers have other words."""
    exc = redis_errors.RedisError(text)
    assert re.match(r"redis_url names a database that Redis does not have \(.*\): end it with", explain(exc))
