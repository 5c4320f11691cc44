"""The worker as a process: signals, exit codes, and output."""

import json
import os
import resource
import signal
import socket
import subprocess
import urllib.request
from contextlib import AbstractContextManager, ExitStack
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from tests.harness.models import make_model
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tests.harness.processes import TIDECAST, forked_worker
from tests.worker.harness import push, stream_of
from tidecast.client import Client
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.errors import ModelError, SettingsError
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from tidecast.wire import keys_of
from worker import main as program

Process = AbstractContextManager[Forked]


def answered(redis: Redis) -> list[str]:
    """Return the ids of all forecasts."""
    return [entry_id.decode() for entry_id, _ in redis.xrange("forecasts")]


def worker(settings: Settings, *options: str, **variables: str) -> Process:
    """Return a worker on the settings' Redis and store, forked."""
    return forked_worker(settings.redis_url.get_secret_value(), settings.store, *options, **variables)


def said(process: Forked | subprocess.Popen[str]) -> list[dict[str, object]]:
    """Return its log, a JSON object a line."""
    _, err = process.communicate(timeout=PATIENCE_S)
    return [json.loads(line) for line in err.splitlines()]


def interrupt(process: Forked, number: signal.Signals, settings: Settings, redis: Redis) -> list[str]:
    """Send a signal to a worker that waits for a commit amid many readings; return the ids of all readings."""
    ids = push(settings, 100)
    until(lambda: ids == answered(redis))
    with redis.pipeline() as together:
        for n in range(100, 1000):
            together.xadd("readings", {"series": f"s{n % 5}", "value": n % 7, "ts": 1_000_000 + n})
        together.client_pause(round(1000 * PATIENCE_S), all=False)  # Redis now holds back all writes
        ids += [reading_id.decode() for reading_id in together.execute()[:-1]]
    try:
        until(lambda: any("evalsha" == each["cmd"] and "b" in each["flags"] for each in redis.client_list()))
        process.send_signal(number)
    finally:
        redis.client_unpause()
    return ids


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_a_worker_finishes_its_batch_and_leaves(
    settings: Settings, redis: Redis, number: signal.Signals
) -> None:
    """Exit code 0, the lease given back, and exactly the readings up to the offset are answered."""
    with worker(settings, WORKER__BATCH="20") as process:
        ids = interrupt(process, number, settings, redis)
        log = said(process)
    made = answered(redis)
    assert 0 == process.returncode
    assert "worker stopped" == log[-1]["event"]
    assert 100 <= len(made) < len(ids)
    assert ids[: len(made)] == made
    stream = stream_of(settings)
    assert 2 == stream.acquire("next")
    assert (made[-1], len(made)) == (stream.progress().last, stream.progress().read)


@pytest.mark.usefixtures("redis")
def test_under_nohup_a_worker_outlives_its_terminal(settings: Settings) -> None:
    """SIGHUP is ignored there when it starts, and stays ignored; SIGTERM stops it."""
    command = ("nohup", TIDECAST, "worker", "--store", settings.store)
    environment = os.environ | {"TIDECAST_REDIS_URL": settings.redis_url.get_secret_value()}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert any("partition acquired" in line for line in process.stderr)
        process.send_signal(signal.SIGHUP)
        push(settings, 5)
        with Client(settings.redis_url.get_secret_value()) as client:
            assert 5 == len(list(islice(client.forecasts("0"), 5)))
        process.terminate()
        assert "worker stopped" == said(process)[-1]["event"]
    assert 0 == process.returncode


def test_killed_at_any_moment_the_next_worker_goes_on(settings: Settings, redis: Redis) -> None:
    """Kill -9 in the middle: each reading has one forecast in the end."""
    with worker(settings, WORKER__BATCH="20", WORKER__NAME="w") as process:
        ids = interrupt(process, signal.SIGKILL, settings, redis)
    assert len(answered(redis)) < len(ids)
    with worker(settings, "--burst", WORKER__NAME="w") as process:
        assert 0 == process.wait(PATIENCE_S)
    assert ids == answered(redis)


def test_a_broken_champion_does_not_keep_the_worker_from_starting(
    settings: Settings, store: ModelStore, redis: Redis
) -> None:
    """It is logged, and every series is answered."""
    for name in ("s0", "s1"):
        store.publish(make_model(name))
    next(store.root.rglob("*.safetensors")).write_bytes(b"broken")
    ids = push(settings, 50)
    with worker(settings, "--burst") as process:
        log = said(process)
    assert 0 == process.returncode
    assert ids == answered(redis)
    assert 1 == sum(line["event"] == "model not loaded" for line in log)
    assert {True, False} == {b"model" in fields for _, fields in redis.xrange("forecasts")}


@pytest.mark.usefixtures("redis")
def test_the_port_of_the_probes_is_logged_and_answers(settings: Settings) -> None:
    """With 0 a free one is picked."""
    with worker(settings, "--health-port", "0") as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert "health served" == line["event"]
        connection = HTTPConnection("127.0.0.1", line["port"], timeout=PATIENCE_S)
        connection.request("GET", "/healthz")
        assert 200 == connection.getresponse().status
        connection.close()
        process.terminate()
        assert 0 == process.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"redis_timeout": 0.4, "worker": {"block": "250ms"}},
            "setting worker.block is 250ms: use at most half of redis_timeout, 400ms",
        )
    ],
)
def test_what_this_worker_cannot_do_is_said_before_it_starts(given: dict[str, object], sentence: str) -> None:
    """By the dry run too."""
    for start in (program.run, program.check):
        with pytest.raises(SettingsError) as caught:
            start(load_settings(**given))
        assert sentence == str(caught.value)


def test_a_port_that_is_taken_is_one_sentence_and_exit_code_2(settings: Settings) -> None:
    """No traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with worker(settings, "--health-port", str(port)) as process:
            _, err = process.communicate(timeout=PATIENCE_S)
    assert 2 == process.returncode
    sentence = "another program has taken it: choose another, or 0 for a free one"
    assert f"tidecast: setting worker.health_port is {port}, on 127.0.0.1: {sentence}\n" == err


def test_silent_clients_of_the_probes_do_not_keep_a_worker_from_redis(settings: Settings, redis: Redis) -> None:
    """With sixty of them at a limit of 48 descriptors, readings and probes are answered, and Redis is reached again."""
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = {"WORKER__HEALTH_PORT": "0", "WORKER__BLOCK": "20ms"}
    with worker(settings, **limits) as process, ExitStack() as stack:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (48, former[1]))
        assert process.stderr
        port = json.loads(process.stderr.readline())["port"]
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
        until(lambda: redis.exists("lease"))
        for connection in redis.client_list():
            if connection["cmd"] != "client|list" and connection["cmd"] != "client":
                redis.client_kill(connection["addr"])
        ids = push(settings, 20)
        until(lambda: ids == answered(redis))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as reply:
            assert 200 == reply.status
        process.terminate()
        assert 0 == process.wait(PATIENCE_S)


def test_an_address_that_is_none_is_one_sentence_and_exit_code_2(settings: Settings) -> None:
    """It names the setting, and quotes nothing of it."""
    wrong = settings.model_copy(update={"redis_url": SecretStr("redis://:hunter2/@h")})
    with worker(wrong) as process:
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (2, 1) == (process.returncode, err.count("\n"))
    assert err.startswith("tidecast: setting redis_url")
    assert "hunter2" not in err


def test_check_reads_every_champion(settings: Settings, store: ModelStore) -> None:
    """It counts the whole ones, and names a broken one."""
    assert 0 == program.check(settings)
    for name in ("a", "b"):
        store.publish(make_model(name))
    store.publish(make_model("c"), promote=False)
    assert 2 == program.check(settings)
    store.promote("c", 1)
    for file in store.root.rglob("*.safetensors"):
        file.write_bytes(b"broken")
    with pytest.raises(ModelError, match="not a whole model file"):
        program.check(settings)


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_worker_that_starts_before_redis_waits_for_it(partitions: int, tmp_path: Path) -> None:
    """It backs off, as it does when Redis goes away later, and answers as soon as Redis is there."""
    server = EmbeddedRedis()
    settings = load_settings(redis_url=server.url, store=tmp_path / "models", partitions=partitions)
    with worker(settings, "--burst", PARTITIONS=str(partitions)) as process:
        assert process.stderr
        assert '"kind": "redis"' in process.stderr.readline()
        with server:
            assert 0 == process.wait(timeout=PATIENCE_S)
            with connect(settings) as redis:
                assert all(redis.exists(keys_of(i, partitions).lease) for i in range(partitions))


def test_a_worker_that_starts_while_redis_refuses_to_write_waits_for_it(tmp_path: Path) -> None:
    """A full memory does not end the worker: the supervisor could do nothing about it."""
    with EmbeddedRedis(options=("--maxmemory", "1")) as server:
        settings = load_settings(redis_url=server.url, store=tmp_path / "models", partitions=4)
        with worker(settings, "--burst", PARTITIONS="4") as process, connect(settings) as redis:
            assert process.stderr
            assert '"kind": "refused"' in process.stderr.readline()
            redis.config_set("maxmemory", 0)
            assert 0 == process.wait(timeout=PATIENCE_S)
            assert b"4" == redis.get("partitions")


def test_a_worker_that_waits_for_redis_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM ends it in good order."""
    settings = load_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", store=tmp_path / "models")
    with worker(settings, PARTITIONS="4") as process:
        assert process.stderr
        assert '"kind": "redis"' in process.stderr.readline()
        process.terminate()
        assert 0 == process.wait(timeout=PATIENCE_S)
