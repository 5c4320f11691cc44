"""The users of docs/operations.md: they can do all that they need, each right is needed, and a missing one is named."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import forked_worker, run_command
from tests.harness.servers.cluster import EmbeddedCluster
from tests.worker.harness import ALONE, LINES, OPERATIONS, grant, login, rights_of
from tidecast.client import AsyncClient, Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import Unavailable
from tidecast.settings import load_settings
from tidecast.wire import DeadLetter, keys_of, partition_of
from worker.failures.acl import explain
from worker.main import make_worker
from worker.metrics import Health
from worker.retraining.job_state import Claim, JobState

IN_A_CLUSTER = [line.split() for line in LINES if " reset " not in line]
NAMESPACE = "plant"
Process = AbstractContextManager[Forked]
TS = 1_700_000_000_000
QUIET = "xgroup|setid"  # nothing but the lag depends on it


@pytest.fixture(scope="module")
def server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A server with its own users, apart from those of other tests."""
    with EmbeddedRedis(redis_program) as running:
        yield running


@pytest.fixture
def admin(server: EmbeddedRedis) -> Iterator[Redis]:
    """An operator on the emptied server, where the users are as documented."""
    with Redis.from_url(server.url, protocol=2) as redis:
        redis.flushall()
        redis.script_flush()
        for user in ALONE:
            grant(redis, user)
        yield redis


def worker(folder: Path, url: str, *options: str, **variables: str) -> Process:
    """Return a worker process under its user."""
    return forked_worker(login(url, "tidecast-worker"), folder, *options, NAMESPACE=NAMESPACE, **variables)


def answer(server: EmbeddedRedis, folder: Path) -> None:
    """All that a worker does, in this process: join, acquire, answer, find a dead worker's entry, leave."""
    options: dict[str, Any] = {"namespace": NAMESPACE, "partitions": 2}
    settings = load_settings(redis_url=login(server.url, "tidecast-worker"), store=folder / "models", **options)
    with Client(server.url, **options) as client:
        made = make_worker(settings, Health())
        for step in range(2):
            client.push_many([("a", 1.0), ("b", 2.0), ("c", {"wind": 3.0})])  # the last has no target: it is to be dead
            made.step(time.time() + step)
        made.leave()


def refused(server: EmbeddedRedis, folder: Path) -> str:
    """Return a worker's message about the right that it lacks."""
    with pytest.raises((RedisError, Unavailable)) as caught:
        answer(server, folder)
    return str(caught.value) if isinstance(caught.value, Unavailable) else explain(caught.value)


@pytest.mark.parametrize("partitions", [1, 4])
def test_worker_producer_and_consumer_need_no_more(
    server: EmbeddedRedis, admin: Redis, tmp_path: Path, partitions: int
) -> None:
    """Readings in, forecasts out, and the lag is shown."""
    options: dict[str, Any] = {"namespace": NAMESPACE, "partitions": partitions}
    with (
        Client(login(server.url, "tidecast-producer"), **options) as producer,
        Client(login(server.url, "tidecast-consumer"), **options) as consumer,
    ):
        live = consumer.forecasts(block_ms=100)
        ids = [producer.push("a", 1.0, TS), *producer.push_many([("a", 2.0, TS + 1), ("a", 3.0, TS + 2)])]
        with worker(tmp_path, server.url, "--burst", PARTITIONS=str(partitions)) as process:
            assert 0 == process.wait(PATIENCE_S)
        assert ids == [forecast.id for forecast in islice(live, 3)]
    readings = keys_of(partition_of("a", partitions), partitions, NAMESPACE).readings
    assert ids[-1].encode() == admin.xinfo_groups(readings)[0]["last-delivered-id"]


async def test_the_asyncio_client_needs_no_more(server: EmbeddedRedis, admin: Redis) -> None:  # noqa: ARG001 - it makes the users
    """The same users serve it."""
    async with AsyncClient(login(server.url, "tidecast-producer"), namespace=NAMESPACE) as producer:
        assert await producer.push("a", 1.0)
        assert 1 == len(await producer.push_many([("a", 2.0)]))
    async with AsyncClient(login(server.url, "tidecast-consumer"), namespace=NAMESPACE) as consumer:
        assert [] == [forecast async for forecast in consumer.forecasts(block_ms=1, stop_when_idle=True)]


def test_a_consumer_lists_dead_letters_and_pushes_them_again(
    server: EmbeddedRedis, admin: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the further rights of the page: the first for the list, all for `--requeue`."""
    page = re.search(r"^- \*\*Dead letters\*\*: (.+?)^- ", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    assert page
    listing, pushing = (re.findall(r"[+~][^` ]+", part) for part in page[1].split("`--requeue`"))
    letter: Any = DeadLetter("1-0", "bad_value", "why", {b"series": b"a", b"value": b"x"}).encode()
    admin.xadd(f"{NAMESPACE}:dead", dict(zip(letter[::2], letter[1::2], strict=True)), id="1-0")
    words = ("dead", "--namespace", NAMESPACE, "--redis", login(server.url, "tidecast-consumer"))
    admin.execute_command("ACL", "SETUSER", "tidecast-consumer", *listing)
    assert 0 == run_command(*words)
    assert 1 == run_command(*words, "--requeue")
    admin.execute_command("ACL", "SETUSER", "tidecast-consumer", *pushing)
    assert 0 == run_command(*words, "--requeue")
    assert "readings pushed again: 1" in capsys.readouterr().out


@pytest.mark.parametrize("right", [right for right in rights_of("tidecast-worker") if right != QUIET])
def test_a_worker_names_the_right_that_it_lacks(
    server: EmbeddedRedis, admin: Redis, tmp_path: Path, right: str
) -> None:
    """The worker needs each of its rights, and the message names the missing one."""
    grant(admin, "tidecast-worker", without=right)
    admin.hset(f"{NAMESPACE}:workers", "dead", 1)
    sentence = refused(server, tmp_path)
    assert sentence.startswith("the user that redis_url names lacks a right: ")
    # Redis 6.2 names no subcommand.
    assert re.search(rf"[+']({re.escape(right)}|{right.partition('|')[0]})\b", sentence)


def test_a_worker_that_may_not_move_its_group_answers_all_the_same(
    server: EmbeddedRedis, admin: Redis, tmp_path: Path
) -> None:
    """Only the lag depends on it."""
    grant(admin, "tidecast-worker", without=QUIET)
    answer(server, tmp_path)
    readings = keys_of(partition_of("a", 2), 2, NAMESPACE).readings
    assert b"0-0" == admin.xinfo_groups(readings)[0]["last-delivered-id"]


@pytest.mark.parametrize("user", ["tidecast-producer", "tidecast-consumer"])
def test_a_client_needs_each_of_its_rights(server: EmbeddedRedis, admin: Redis, user: str) -> None:
    """A push, or following, is refused by name."""
    for right in rights_of(user):
        grant(admin, user, without=right)
        client = Client(login(server.url, user), namespace=NAMESPACE)
        with client, pytest.raises(NoPermissionError, match=right):
            client.push("a", 1.0) if user == "tidecast-producer" else list(client.forecasts(block_ms=1))


@pytest.mark.usefixtures("admin")
def test_the_schedule_of_retraining_needs_no_more_than_a_worker_has(server: EmbeddedRedis) -> None:
    """Its scripts run under the worker's user, and the consumer's follows the events."""
    with Redis.from_url(login(server.url, "tidecast-worker"), protocol=2) as redis:
        record = JobState(redis, keys_of(namespace=NAMESPACE), "w", 100)
        record.plan("every 1h", TS)
        claim = record.claim(TS, "t", 0)
        assert isinstance(claim, Claim)
        assert record.beat(claim)
        assert record.finish(claim, "well", TS + 1, 0)
    with Client(login(server.url, "tidecast-consumer"), namespace=NAMESPACE) as consumer:
        events = consumer.events("0", block_ms=1, stop_when_idle=True)
        assert ["started", "finished"] == [event.kind for event in events]


@pytest.mark.parametrize("user", ["tidecast-producer", "tidecast-consumer"])
@pytest.mark.parametrize(
    "command",
    [
        ("XADD", "plant:forecasts", "*", "a", "1"),
        ("XREAD", "STREAMS", "plant:dead", "0"),
        ("HKEYS", "plant:state"),
        ("DEL", "plant:readings"),
        ("GET", "secret"),
        ("CONFIG", "GET", "*"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.usefixtures("admin")
def test_clients_may_do_nothing_else(server: EmbeddedRedis, user: str, command: tuple[str, ...]) -> None:
    """They can do neither a worker's nor an operator's work."""
    with Redis.from_url(login(server.url, user), protocol=2) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command)


@pytest.mark.parametrize("right", ["set", "xadd"])
def test_a_worker_goes_on_as_soon_as_the_right_is_granted(
    server: EmbeddedRedis, admin: Redis, tmp_path: Path, right: str
) -> None:
    """Lacking at its start or at its first commit: a sentence in the log, no crash, nothing lost."""
    grant(admin, "tidecast-worker", without=right)
    with Client(server.url, namespace=NAMESPACE) as client:
        entry_id = client.push("a", 1.0)
        with worker(tmp_path, server.url) as process:
            assert process.stderr
            log = (json.loads(line) for line in process.stderr)
            failed = next(line for line in log if line["event"] in ("start failed", "step failed"))
            assert f"'{right}'" in failed["error"] or f"needs +{right}" in failed["error"]
            assert "docs/operations.md, Users and rights" in failed["error"]
            grant(admin, "tidecast-worker")
            assert entry_id == next(client.forecasts("0")).id


def test_keys_of_another_namespace_are_named_as_the_right_that_is_missing(
    server: EmbeddedRedis, admin: Redis, tmp_path: Path
) -> None:
    """The commands are granted, the keys are not."""
    admin.execute_command("ACL", "SETUSER", "tidecast-worker", "resetkeys", "~other:*")
    assert re.search(r"lacks a right: .*access .*key", refused(server, tmp_path))


def test_a_wrong_password_is_said_without_it(server: EmbeddedRedis) -> None:
    """The user and the password are to be corrected."""
    client = Client(server.url.replace("redis://", "redis://nobody:hunter2@"))
    with client, pytest.raises(RedisError) as caught:
        client.push("a", 1.0)
    assert explain(caught.value).startswith("Redis refuses the user or password that redis_url names: ")
    assert "hunter2" not in explain(caught.value)


async def test_in_a_cluster_three_more_rights_do(redis_program: str, tmp_path: Path) -> None:
    """With slots that move; without them, the missing right is named."""
    options: dict[str, Any] = {"namespace": NAMESPACE, "partitions": 4, "redis_cluster": True}
    variables = {"PARTITIONS": "4", "REDIS_CLUSTER": "true"}
    with EmbeddedCluster(redis_program) as cluster:
        for line in ALONE.values():
            cluster.execute(*line)
        with Client(login(cluster.url, "tidecast-producer"), **options) as producer:
            with pytest.raises(NoPermissionError, match="cluster"):
                producer.push("a", 1.0)
            for line in IN_A_CLUSTER:
                cluster.execute(*line)
            ids = producer.push_many([(name, 1.0, TS) for name in "abcdefgh"])
            readings = keys_of(partition_of("a", 4), 4, NAMESPACE).readings
            cluster.move(readings, (cluster.owner_of(readings) + 1) % 3)
            ids.append(producer.push("a", 2.0, TS + 1))
        async with AsyncClient(login(cluster.url, "tidecast-producer"), **options) as other:
            ids.append(await other.push("a", 3.0, TS + 2))
        with worker(tmp_path, cluster.url, "--burst", **variables) as process:
            assert 0 == process.wait(PATIENCE_S)
        with Client(login(cluster.url, "tidecast-consumer"), **options) as consumer:
            forecasts = consumer.forecasts("0", block_ms=1, stop_when_idle=True)
            assert sorted(ids) == sorted(forecast.id for forecast in forecasts)
        async with AsyncClient(login(cluster.url, "tidecast-consumer"), **options) as consumer:
            forecasts = [forecast.id async for forecast in consumer.forecasts("0", block_ms=1, stop_when_idle=True)]
            assert sorted(ids) == sorted(forecasts)


def test_a_plain_worker_on_a_server_of_a_cluster_is_told_so(redis_program: str, tmp_path: Path) -> None:
    """This is so whichever of its keys comes first."""
    with EmbeddedCluster(redis_program) as cluster:
        number = cluster.owner_of("partitions")
        url = cluster.servers[(number + 1) % 3].url
        settings = load_settings(redis_url=url, store=tmp_path / "models", partitions=2)
        with pytest.raises(RedisError) as caught:
            make_worker(settings, Health())
    assert explain(caught.value).endswith("set redis_cluster = true, and partitions to 2 or more")
