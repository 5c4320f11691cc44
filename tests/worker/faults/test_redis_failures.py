"""Temporary refusals of Redis, provoked on real servers: they are logged and waited out, and no reading is lost."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
from redis import Redis, exceptions
from redis.exceptions import ResponseError

from tests.chaos.faults.refusals import busy, no_replicas, no_snapshot, out_of_memory
from tests.worker.harness import NOW, Impatient, add, forecasts, new_worker, quick, sample, stream_of
from tidecast.connection import explain
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.refusals import EXPLAINED, REMEDIES
from tidecast.errors import StreamError, Unavailable
from tidecast.settings import Settings
from worker.failures.redis_failures import meaning_of, refusals_explained
from worker.main import make_worker
from worker.metrics import Health

Moment = Callable[[Redis], AbstractContextManager[None]]
pytestmark = pytest.mark.settings(**quick())


@pytest.fixture(scope="module")
def redis_server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """A server that may be ill-treated."""
    with EmbeddedRedis(redis_program) as running:
        yield running


@contextmanager
def demoted(redis: Redis) -> Iterator[None]:
    """Make the server a replica of one that is not there."""
    redis.replicaof("127.0.0.1", 1)  # type: ignore[no-untyped-call] # of redis
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")  # type: ignore[no-untyped-call] # of redis


@contextmanager
def without_a_right(redis: Redis) -> Iterator[None]:
    """Take the right to publish from the user."""
    redis.execute_command("ACL", "SETUSER", "default", "-xadd")
    try:
        yield
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+xadd")


def await_refusal(redis: Redis) -> None:
    """Wait until the moment has come: a script or a snapshot takes a while."""
    with suppress(ResponseError):
        while redis.xadd("probe", {"a": 1}):
            time.sleep(0.01)


MOMENTS = {
    "OOM": out_of_memory,
    "NOREPLICAS": no_replicas,
    "READONLY": demoted,
    "BUSY": busy,
    "NOPERM": without_a_right,
    "MISCONF": no_snapshot,
}


@pytest.mark.parametrize(("code", "moment"), MOMENTS.items(), ids=MOMENTS)
def test_a_batch_outlives_a_refusal(code: str, moment: Moment, redis: Redis, settings: Settings) -> None:
    """The worker logs the refusal and the remedy, changes nothing, and goes on with the same lease and memory."""
    worker = new_worker(settings)
    add(redis, 1, 2, 3)
    assert 3 == worker.step(NOW)
    add(redis, 4, 5, 6)
    with moment(redis):
        await_refusal(redis)
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                worker.step(NOW)
    assert (code, True) == (caught.value.code, REMEDIES.get(code, "lacks a right") in str(caught.value))
    assert 3 == len(forecasts(redis))
    assert (1, 3) == (worker.held, worker.step(NOW))
    assert [1, 2, 3, 4, 5, 6] == [int(made.id.partition("-")[0]) for made in forecasts(redis)]
    assert b"1" == redis.hget("lease", "epoch")


def test_a_worker_waits_out_a_refusal_by_itself(redis: Redis, settings: Settings) -> None:
    """Longer each time, counted as refused and each further try as a retry; not in a hot loop."""
    health = Health()
    stop = Impatient(6)
    worker = new_worker(settings, health)
    add(redis, 1)
    assert 1 == worker.step(time.time())
    add(redis, 2)
    with out_of_memory(redis):
        worker.run(stop)
    assert 6.0 == sample(health, "tidecast_failures_total", kind="refused")
    assert 5.0 <= sample(health, "tidecast_commits_retried_total")
    assert stop.longest_s > 0.5


def test_an_idle_worker_is_not_ready_while_its_steps_fail(redis: Redis, settings: Settings) -> None:
    """An orchestrator must not go on with a rollout; `/readyz` names the cause, and is well again by itself."""
    health = Health()
    worker = new_worker(settings, health)
    worker.step(time.time(), Impatient(2))
    assert health.ready.is_set()
    with demoted(redis):
        worker._consumers[0]._lease.renewed(0.0)  # it is due to be renewed
        worker.step(time.time(), Impatient(2))
        assert not health.ready.is_set()
        body = b"".join(health._answer({"PATH_INFO": "/readyz"}, lambda *_: None)).decode()
        assert body.startswith(f"503 Service Unavailable: Unavailable: {REMEDIES['READONLY']}")
    worker.step(time.time(), Impatient(2))
    assert health.ready.is_set()


def test_a_worker_may_start_while_redis_refuses(redis: Redis, settings: Settings) -> None:
    """It takes its partition as soon as it is let."""
    worker = new_worker(settings)
    add(redis, 1)
    with out_of_memory(redis), pytest.raises(Unavailable):
        worker.step(NOW)
    assert 1 == worker.step(NOW + 1)


def test_an_idle_worker_names_the_refusal_as_well(redis: Redis, settings: Settings) -> None:
    """It cannot register again: Redis refuses with a remedy, which is not the same as no answer."""
    worker = make_worker(settings, Health())
    now = time.time()
    worker.step(now)
    with out_of_memory(redis), pytest.raises(Unavailable, match="raise it, or keep less"):
        worker.step(now + settings.worker.lease)


SAID = {
    "TRYAGAIN": exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
    "CLUSTERDOWN": exceptions.ClusterDownError("The cluster is down"),
    "MASTERDOWN": exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    "MOVED": exceptions.MovedError("1 127.0.0.1:7000"),
    "ASK": exceptions.AskError("1 127.0.0.1:7000"),
    "OOM": ResponseError("Error running script (call to f_1): @user_script:9: -OOM command not allowed"),
    "MISCONF": ResponseError("Error running script (call to f_1): @user_script: 9: -MISCONF Redis is configured to"),
    "NOPERM": ResponseError("ACL failure in script: User worker has no permissions to run the 'xadd' command"),
    "NOREPLICAS": ResponseError("NOREPLICAS Not enough good replicas to write. script: f_1, on @user_script:9."),
}


@pytest.mark.parametrize(("code", "said"), SAID.items(), ids=SAID)
def test_a_refusal_is_known_in_every_form(code: str, said: ResponseError) -> None:
    """There are three: redis-py's name, the quotation from a script in Redis 6.2, and the text of Redis 7."""
    meaning = meaning_of(said)
    assert isinstance(meaning, Unavailable)
    assert code == meaning.code
    assert code in EXPLAINED or REMEDIES[code] in str(meaning)


def test_what_no_waiting_cures_is_not_called_a_moment(redis: Redis, settings: Settings) -> None:
    """A key of the wrong type, an unknown command: they are errors of their own."""
    redis.set("readings", "a string")
    with pytest.raises(StreamError, match="rename") as caught:
        stream_of(settings).read("0-0", None)
    assert not isinstance(caught.value, Unavailable)
    with pytest.raises(ResponseError, match="unknown command"), refusals_explained():
        redis.execute_command("NONSENSE")


def test_a_program_that_may_open_no_further_file_names_the_limit(redis: Redis) -> None:
    """With hundreds of partitions the usual limit is too low; the words of the system name no setting."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    redis.connection_pool.disconnect()
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(256, taken[0] + 1), hard))
    try:
        with suppress(OSError):
            taken.extend(os.dup(0) for _ in range(10_000))
        with pytest.raises(exceptions.ConnectionError) as failure:
            redis.ping()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "raise the limit: `ulimit -n`" in explain(failure.value)
