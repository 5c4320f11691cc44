"""A password is never shown: not in a log, an error, a traceback, a metric or the form of an object."""

import json
import os
import traceback
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import run_command
from tidecast.client import AsyncClient, Client
from tidecast.connection import connect, connect_async
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.errors import SettingsError
from tidecast.settings import load_settings

PASSWORD = "hunter2"  # noqa: S105 - made up
SPECIAL = "hunter2/p@ss:w#rd?é%"
SHOWN = (PASSWORD, "p@ss", "w#rd", "p%40ss", "w%23rd", "secret-user")  # parts that must never be seen


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDECAST_REDIS_URL", raising=False)
    monkeypatch.setenv("TIDECAST_REDIS_TIMEOUT", "1")  # a handshake with a server without TLS waits


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedRedis]:
    """A server that needs another password than the given one."""
    with EmbeddedRedis() as server:
        with connect(load_settings(redis_url=server.url)) as redis:
            redis.config_set("requirepass", "another-password")
        yield server


def leaks(text: str) -> list[str]:
    """Return the parts of the password that a text shows."""
    return [part for part in SHOWN if part in text]


def written_out(exc: BaseException) -> str:
    """Return all visible forms of an exception: its text, its form, its traceback and its causes."""
    return f"{exc} {exc!r} {''.join(traceback.format_exception(exc))} {exc.__cause__!r}"


# A worker that cannot reach its server


def urls(port: int) -> dict[str, str]:
    """Return the forms in which a password stands in an address."""
    return {
        "password": f"redis://:{PASSWORD}@127.0.0.1:{port}/0",
        "user and password": f"redis://secret-user:{PASSWORD}@127.0.0.1:{port}/0",
        "encoded": f"redis://secret-user:{quote(SPECIAL, safe='')}@127.0.0.1:{port}/0",
        "encrypted": f"rediss://:{PASSWORD}@127.0.0.1:{port}/0",
        "option": f"redis://127.0.0.1:{port}/0?password={PASSWORD}",
    }


def _run_worker(url: str, folder: Path) -> str:
    """Start a worker that has an address from its environment, let it fail, and gather all it shows."""
    environment = os.environ | {"TIDECAST_REDIS_URL": url}
    with Forked("tidecast.cli.main", ["tidecast", "worker", "--health-port", "0"], folder, environment) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        port = json.loads(lines[0])["port"]
        lines.append(process.stderr.readline())
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
        connection.close()
        process.terminate()
        _, rest = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode
    assert all(json.loads(line)["kind"] == "redis" for line in lines[1:])
    assert 'tidecast_failures_total{kind="redis"}' in metrics
    return "".join([*lines, metrics, rest])


@pytest.mark.parametrize("form", ["user and password", "encrypted"])
def test_a_worker_whose_server_is_down_says_so_without_the_password(form: str, tmp_path: Path) -> None:
    """On standard output, standard error and in the metrics."""
    output = _run_worker(urls(free_port())[form], tmp_path)
    assert [] == leaks(output)
    assert "Connection refused" in output


@pytest.mark.parametrize(
    ("form", "reason"), [("password", "invalid username-password"), ("encoded", "invalid username-password")]
)
def test_a_worker_whose_password_is_refused_says_so_without_it(
    form: str, reason: str, guarded: EmbeddedRedis, tmp_path: Path
) -> None:
    """It goes on trying, for the server's password may be mended."""
    output = _run_worker(urls(guarded.port)[form], tmp_path)
    assert [] == leaks(output)
    assert reason in output


def test_a_worker_without_the_password_that_a_server_wants_says_so(guarded: EmbeddedRedis, tmp_path: Path) -> None:
    """The server's own password is not shown either."""
    output = _run_worker(guarded.url, tmp_path)
    assert "password" in output
    assert "another-password" not in output


# Wrong settings

BROKEN = {
    "a slash in the password": "redis://:hunter2/x@127.0.0.1:1/0",
    "a number sign in the password": "redis://secret-user:hunter2#x@127.0.0.1:1/0",
    "a question mark in the password": "redis://:hunter2?x=1@127.0.0.1:1/0",
    "a password that looks like a host": "redis://hunter2/@127.0.0.1:1",
    "a port that is none": "redis://:hunter2@127.0.0.1:hunter2/0",
    "a port beyond all": "redis://:hunter2@127.0.0.1:99999/0",
    "half an address": "redis://:hunter2@[::1",
    "another scheme": "http://:hunter2@127.0.0.1:1/0",
    "no scheme": ":hunter2@127.0.0.1",
    "an unknown option": "redis://:hunter2@127.0.0.1:1/0?hunter2=1",
    "an option that is refused": "redis://127.0.0.1:1/0?password=hunter2&protocol=3&hunter2=hunter2",
    "an option that is no number": "redis://:hunter2@127.0.0.1:1/0?socket_timeout=hunter2",
}


@pytest.mark.parametrize("url", BROKEN.values(), ids=BROKEN)
def test_an_address_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    """The blocking client, the one for asyncio and the worker's own connection check it, before they send anything."""
    for connecting in (Client, AsyncClient, lambda given: connect(load_settings(redis_url=given))):
        with pytest.raises(SettingsError, match=r"^setting redis_url ") as caught:
            connecting(url)
        assert [] == leaks(written_out(caught.value))


def test_a_number_in_a_password_never_passes_for_a_port() -> None:
    """`redis://:4711/x@host` would connect to port 4711 and log it."""
    with pytest.raises(SettingsError, match="%2F") as caught:
        Client("redis://:4711/x@127.0.0.1")
    assert "4711" not in str(caught.value) + repr(caught.value)


FILES = {
    "unquoted": f"redis_url = redis://:{PASSWORD}@h\n",
    "not closed": f'redis_url = "redis://:{PASSWORD}@h\n',
    "a list": f'redis_url = ["redis://:{PASSWORD}@h"]\n',
    "a table": f'[redis_url]\npassword = "{PASSWORD}"\n',
    "wrong elsewhere": f'redis_url = "redis://:{PASSWORD}@h"\npartitions = 0\n[worker]\nbtach = 1\n',
    "in another setting": f'namespace = "redis://:{PASSWORD}@h"\n',
    "in a number's place": f'partitions = "{PASSWORD}"\n',
    "a misspelt setting": f'redis_ulr = "redis://:{PASSWORD}@h"\n',
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_wrong_file_is_told_without_what_stands_in_it(content: str) -> None:
    """Wherever the password ended up."""
    Path("tidecast.toml").write_text(content)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [] == leaks(written_out(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDECAST_WORKER", f"{{{PASSWORD}"),
        ("TIDECAST_WORKER__BATCH", PASSWORD),
        ("TIDECAST_REDIS_ULR", f"redis://:{PASSWORD}@h"),
    ],
)
def test_a_wrong_variable_is_told_without_its_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is enough to find it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [] == leaks(written_out(caught.value))


# Objects and commands


@pytest.mark.parametrize("form", urls(1))
def test_no_object_shows_the_password_in_its_form(form: str) -> None:
    """Settings, clients, connections and their pools, as a debugger or a log would print them."""
    settings = load_settings(redis_url=urls(1)[form])
    objects: list[object] = [settings, settings.redis_url, settings.model_dump(), settings.model_dump_json()]
    asynchronous = AsyncClient(urls(1)[form])
    objects += [Client(urls(1)[form]), vars(Client(urls(1)[form])), asynchronous, vars(asynchronous)]
    for redis in (connect(settings), connect_async(settings)):
        objects += [redis, vars(redis), redis.connection_pool]
    assert [] == leaks(" ".join(f"{thing} {thing!r}" for thing in objects))


@pytest.mark.parametrize("form", urls(1))
async def test_no_error_of_a_client_shows_the_password(form: str, guarded: EmbeddedRedis) -> None:
    """Server down, password refused, no encryption: whatever is raised, however it is printed."""
    messages = []
    for port in (free_port(), guarded.port):
        url = urls(port)[form]
        with Client(url, redis_timeout=1) as client, pytest.raises(Exception) as caught:  # noqa: PT011 - any
            client.push("s", 1.0)
        messages.append(written_out(caught.value))
        async with AsyncClient(url, redis_timeout=1) as asynchronous:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - any
                await asynchronous.push("s", 1.0)
        messages.append(written_out(caught.value))
    assert [] == leaks(" ".join(messages))


COMMANDS = (("worker", "--check"), ("tail", "-n", "1"), ("push", "readings.csv"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("form", ["encoded", "encrypted"])
def test_no_command_shows_the_password(
    command: tuple[str, ...], form: str, guarded: EmbeddedRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it fails or not; the address comes by an option, as users give it."""
    Path("readings.csv").write_text("ts,a\n2024-01-01T00:00:00Z,1\n2024-01-01T00:01:00Z,2\n")
    for url in (urls(free_port())[form], urls(guarded.port)[form], BROKEN["a slash in the password"]):
        run_command(*command, "--redis", url)
        captured = capsys.readouterr()
        assert [] == leaks(captured.out + captured.err)
        assert command[-1] == "--check" or captured.err.splitlines()[-1].startswith("tidecast: ")
