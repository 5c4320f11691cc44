"""A Redis that cannot be reached: refused, a wrong password, TLS that fails, still loading."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.tls import HOST, make_authority, sign, tls_redis
from tests.ward import Ward
from tests.worker.runs import until
from tidecast.doctor.examination import examine
from tidecast.doctor.finding import Finding
from tidecast.embedded import EmbeddedRedis, free_port
from tidecast.settings import Settings, load_settings

PASSWORD = "hunter2"  # noqa: S105 - a test's
KEYS, SLOWNESS = 40, ("--key-load-delay", "20000")  # Redis looks up from its loading every 2 MB


def found_at(settings: Settings) -> Finding:
    """The only thing that is found, beside a store that is not there."""
    (found,) = (finding for finding in examine(settings) if finding.check != "store")
    assert "wrong" == found.severity
    assert PASSWORD not in found.found + found.remedy
    return found


@pytest.fixture(scope="module")
def tls(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path, Path]]:
    """The port of a server that speaks TLS, the authority that signed its certificate, and a stranger."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = make_authority(folder, "authority"), make_authority(folder, "stranger")
    with tls_redis(redis_program, *sign(authority, HOST), PASSWORD) as port:
        yield port, authority, stranger


def test_a_redis_that_is_not_there_is_found(tmp_path: Path) -> None:
    """Nobody listens."""
    found = found_at(load_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", store=tmp_path / "models"))
    assert "redis" == found.check
    assert "refused" in found.found
    assert found.remedy.startswith("start it")


def test_a_wrong_password_is_found(healthy: Ward, tmp_path: Path) -> None:
    """And none of it shown."""
    url = healthy.server.url.replace("redis://", f"redis://nobody:{PASSWORD}@")
    found = found_at(load_settings(redis_url=url, store=tmp_path / "absent"))
    assert "password" == found.check
    assert "correct the user and the password" in found.remedy


def test_an_authority_that_did_not_sign_is_found(tls: tuple[int, Path, Path], tmp_path: Path) -> None:
    """The setting is named."""
    port, _, stranger = tls
    url = f"rediss://:{PASSWORD}@{HOST}:{port}"
    found = found_at(load_settings(redis_url=url, redis_ca=stranger, store=tmp_path / "absent"))
    assert "tls" == found.check
    assert "redis_ca" in found.remedy


def test_plain_words_to_a_port_with_tls_are_found(tls: tuple[int, Path, Path], tmp_path: Path) -> None:
    """The remedy is the other scheme."""
    found = found_at(load_settings(redis_url=f"redis://{HOST}:{tls[0]}", store=tmp_path / "absent"))
    assert "tls" == found.check
    assert "rediss://" in found.remedy


def test_tls_to_a_plain_port_is_found(healthy: Ward, tmp_path: Path) -> None:
    """And the other way round."""
    url = healthy.server.url.replace("redis://", "rediss://")
    found = found_at(load_settings(redis_url=url, redis_timeout_s=0.3, store=tmp_path / "absent"))
    assert "tls" == found.check
    assert "begin redis_url with redis://" in found.remedy


def test_a_redis_that_still_loads_is_found(redis_program: str, tmp_path: Path) -> None:
    """It answers, and has nothing to say yet."""
    with EmbeddedRedis(redis_program, SLOWNESS) as server:
        with Redis.from_url(server.url, protocol=2) as redis:
            redis.mset({f"key-{i}": "x" * 500_000 for i in range(KEYS)})
            redis.config_set("rdbcompression", "no")
            redis.save()
        server.kill()
        starting = threading.Thread(target=server.start)
        starting.start()
        settings = load_settings(redis_url=server.url, store=tmp_path / "models")
        found = until(lambda: [finding for finding in examine(settings) if finding.check == "loading"])
        starting.join()
    assert [("wrong", True)] == [(finding.severity, "wait" in finding.remedy) for finding in found]


def test_settings_that_contradict_each_other_are_found(healthy: Ward) -> None:
    """A cluster needs partitions."""
    (found,) = healthy.told(redis_cluster=True).examine()
    assert ("settings", "wrong") == (found.check, found.severity)
    assert "set partitions to 2 or more" in found.found
