"""A Redis that cannot be reached: refused, a wrong password, TLS that fails, still loading."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.harness.installation import Installation
from tests.harness.patience import until
from tests.harness.servers.cluster import EmbeddedCluster
from tests.harness.servers.odd_servers import deaf, redis_with, saying, sentinel, without
from tests.harness.servers.tls import HOST, make_authority, sign, tls_redis
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.doctor.examination import examine
from tidecast.doctor.finding import Finding
from tidecast.settings import Settings, load_settings

PASSWORD = "hunter2"  # noqa: S105 - a test's
KEYS, SLOWNESS = 40, ("--key-load-delay", "20000")  # Redis looks up from its loading every 2 MB


def found_at(settings: Settings) -> Finding:
    """Return the only thing that is found, beside a store that is not there."""
    (finding,) = (each for each in examine(settings) if each.check != "store")
    assert "error" == finding.severity
    assert PASSWORD not in finding.problem + finding.remedy
    return finding


@pytest.fixture(scope="module")
def tls(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path, Path]]:
    """The port of a server with TLS, the authority that signed its certificate, and another one."""
    folder = tmp_path_factory.mktemp("tls")
    authority = make_authority(folder, "authority")
    stranger = make_authority(folder, "stranger")
    with tls_redis(redis_program, *sign(authority, HOST), PASSWORD) as port:
        yield port, authority, stranger


@pytest.mark.parametrize(
    ("address", "check", "remedy"),
    [
        ("redis://127.0.0.1:1/0", "redis", "start Redis there"),
        ("redis://nobody.invalid:6379/0", "host", "correct it"),
        (f"redis://nobody:{PASSWORD}@127.0.0.1:{{plain}}/0", "password", "correct the user and the password"),
        (f"redis://:{PASSWORD}@127.0.0.1:{{plain}}/0", "password", "leave the password out"),
        ("redis://127.0.0.1:{plain}/99", "database", "/0"),
        ("rediss://127.0.0.1:{plain}/0", "tls", "begin redis_url with redis://"),
        (f"redis://{HOST}:{{tls}}", "tls", "rediss://"),
    ],
)
def test_an_address_that_leads_nowhere_is_found(
    redis_server: EmbeddedRedis, tls: tuple[int, Path, Path], tmp_path: Path, address: str, check: str, remedy: str
) -> None:
    """The remedy names the part of the address to correct, and the password is not shown."""
    url = address.format(plain=redis_server.port, tls=tls[0])
    finding = found_at(load_settings(redis_url=url, redis_timeout=0.3, store=tmp_path / "absent"))
    assert (check, True) == (finding.check, remedy in finding.remedy)


def test_an_authority_that_did_not_sign_is_found(tls: tuple[int, Path, Path], tmp_path: Path) -> None:
    """The setting is named."""
    port, _, stranger = tls
    url = f"rediss://:{PASSWORD}@{HOST}:{port}"
    finding = found_at(load_settings(redis_url=url, redis_ca=stranger, store=tmp_path / "absent"))
    assert "tls" == finding.check
    assert "redis_ca" in finding.remedy


def test_a_redis_that_still_loads_is_found(redis_program: str, tmp_path: Path) -> None:
    """It answers, but refuses all commands for a while."""
    with EmbeddedRedis(redis_program, SLOWNESS) as server:
        with Redis.from_url(server.url, protocol=2) as redis:
            redis.mset({f"key-{i}": "x" * 500_000 for i in range(KEYS)})
            redis.config_set("rdbcompression", "no")
            redis.save()
        server.kill()
        starting = threading.Thread(target=server.start)
        starting.start()
        settings = load_settings(redis_url=server.url, store=tmp_path / "models")
        findings = until(lambda: [finding for finding in examine(settings) if finding.check == "loading"])
        starting.join()
    assert [("error", True)] == [(finding.severity, "wait" in finding.remedy) for finding in findings]


def test_settings_that_contradict_each_other_are_found(healthy: Installation) -> None:
    """A cluster needs partitions."""
    (finding,) = healthy.told(redis_cluster=True).examine()
    assert ("settings", "error") == (finding.check, finding.severity)
    assert "set partitions to 2 or more" in finding.problem


WORDS = {
    "web server": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "its usual port is 6379"),
    "web server with a page": (b"<html></html>\r\n", "protocol", "its usual port is 6379"),
    "memcached": (b"ERROR\r\n", "protocol", "its usual port is 6379"),
    "mail server": (b"* OK IMAP4 ready\r\n", "protocol", "its usual port is 6379"),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "tls", "begin redis_url with rediss://"),
    "password wanted": (b"-NOAUTH Authentication required.\r\n", "password", "redis://:password@host:port/db"),
    "protected mode": (b"-DENIED Redis is running in protected mode because\r\n", "protected", "set a password"),
    "too many clients": (b"-ERR max number of clients reached\r\n", "clients", "raise maxclients"),
    "unforeseen": (b"-ERR not today\r\n", "redis", "check its log"),
    "old Redis": (b"-ERR unknown command 'GET'\r\n", "commands", "use a server or service that has it"),
    "no slots": (b"-CLUSTERDOWN Hash slot not served\r\n", "cluster", "assign the slots"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_server_that_is_not_a_usable_redis_is_found(name: str, tmp_path: Path) -> None:
    """One finding names the server and the remedy, instead of a traceback or a dozen checks that could not look."""
    data, check, remedy = WORDS[name]
    with saying(data) as url:
        findings = examine(load_settings(redis_url=url, store=tmp_path / "models", redis_timeout=5.0))
    assert ("error", True) == next(
        (finding.severity, remedy in finding.remedy) for finding in findings if finding.check == check
    )


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail ESMTP\r\n", b"+OK POP3 ready\r\n", b""])
def test_a_server_that_greets_or_is_silent_is_found(greeting: bytes, tmp_path: Path) -> None:
    """Another program may send the first line, or wait for requests of its own protocol."""
    with saying(greeting, at_once=True) if greeting else deaf() as url:
        finding = found_at(load_settings(redis_url=url, redis_timeout=0.3, store=tmp_path / "absent"))
    assert finding.check in ("protocol", "no_answer")
    assert "another program" in finding.remedy or "name Redis' host and port" in finding.remedy


def test_a_sentinel_is_found_with_the_redis_that_it_watches(redis_program: str, tmp_path: Path) -> None:
    """It has no data, and INFO shows less than that of Redis: the doctor ended with a KeyError."""
    with sentinel(redis_program, tmp_path) as (url, _):
        finding = found_at(load_settings(redis_url=url, store=tmp_path / "absent"))
        address = finding.remedy.split()[-1]
        assert ("sentinel", True) == (finding.check, address.endswith("/main"))
        with connect(load_settings(redis_url=address)) as redis:
            assert redis.ping()


def test_a_server_of_a_cluster_is_found_though_our_key_is_on_it(redis_program: str, tmp_path: Path) -> None:
    """Then no command is redirected; the server itself reports that it is in a cluster."""
    with EmbeddedCluster(redis_program, masters=1) as cluster:
        finding = found_at(load_settings(redis_url=cluster.url, store=tmp_path / "absent"))
    assert ("cluster", True) == (finding.check, finding.remedy.startswith("set redis_cluster = true"))


def test_a_redis_that_is_not_in_a_cluster_is_found(healthy: Installation) -> None:
    """The other way round."""
    url = healthy.server.url.removesuffix("/0")
    settings = load_settings(redis_url=url, store=healthy.settings.store, redis_cluster=True, partitions=2)
    assert ["settings"] == [finding.check for finding in examine(settings)]


@pytest.mark.parametrize("command", ["XINFO", "EVALSHA", "SCRIPT", "TYPE", "TIME", "XGROUP", "HGETALL", "GET"])
def test_a_command_that_a_worker_needs_and_the_server_lacks_is_wrong(
    command: str, redis_program: str, tmp_path: Path
) -> None:
    """Services disable some. It was a warning, or nothing at all, while the worker could answer nothing."""
    with redis_with(redis_program, *without(command)) as url:
        findings = examine(load_settings(redis_url=url, store=tmp_path / "models"))
    wrong = {finding.check: finding for finding in findings if finding.severity == "error"}
    assert f"does not know {command}," in wrong["commands"].problem
    assert "rename-command" in wrong["commands"].remedy


@pytest.mark.parametrize("command", ["INFO", "CONFIG"])
def test_a_command_that_only_the_doctor_needs_and_the_server_hides_is_a_warning_at_most(
    command: str, redis_program: str, tmp_path: Path
) -> None:
    """The worker works without them; the checks that were skipped are named once."""
    with redis_with(redis_program, *without(command)) as url:
        findings = examine(load_settings(redis_url=url, store=tmp_path / "models"))
    assert {"lease"} == {finding.check for finding in findings if finding.severity == "error"}
    unseen = [finding.problem for finding in findings if finding.check == "skipped"]
    assert [command == "INFO"] * len(unseen) == [text.endswith("memory, role") for text in unseen]


def test_a_reply_that_redis_would_not_give_does_not_end_the_doctor(
    healthy: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services that speak Redis' protocol leave fields of INFO out."""
    monkeypatch.setattr(Redis, "info", lambda *_: {})
    findings = healthy.examine()
    assert {"warning"} == {finding.severity for finding in findings}
    odd = {finding.check for finding in findings if "answers otherwise than Redis: KeyError" in finding.problem}
    assert {"version", "memory", "role"} == odd
