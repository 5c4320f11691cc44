"""Connections that were closed while idle are reopened silently: no call fails, and no command is sent twice."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.chaos.faults.proxy import Proxy
from tests.harness.patience import until
from tests.worker.harness import NOW, add, counts_of, elsewhere, forecasts, new_worker, quick, running, sample
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import Settings
from worker.metrics import FAILURES, Health
from worker.stop import Stop

Close = Callable[[Redis], object]
pytestmark = pytest.mark.settings(**quick())


@pytest.fixture(autouse=True)
def _patient(redis: Redis) -> Iterator[None]:
    """The server is shared."""
    yield
    redis.config_set("timeout", 0)


def others(redis: Redis) -> int:
    """Return how many connections there are beside this one."""
    return len(redis.client_list()) - 1


def kill(redis: Redis) -> None:
    """Close all connections, as an operator might."""
    redis.client_kill_filter(_type="normal", skipme=True)


def wait_for_the_timeout(redis: Redis) -> None:
    """Redis closes those that have been idle for a second."""
    redis.config_set("timeout", 1)
    until(lambda: others(redis) == 0)


@pytest.mark.parametrize("close", [kill, wait_for_the_timeout], ids=lambda close: close.__name__)
def test_an_idle_worker_goes_on_quietly(settings: Settings, redis: Redis, close: Close) -> None:
    """Each was a failure, a commit sent again and lines of errors, at every pause of the readings."""
    health = Health()
    worker = new_worker(settings, health)
    with capture_logs() as log:
        for n in range(2):
            add(redis, 2 * n + 1, 2 * n + 2)
            worker.run(Stop(), burst=True)
            worker.step(NOW + n)  # holds the partition again, and finds no reading
            close(redis)
    assert [f"{n}-0" for n in range(1, 5)] == [made.id for made in forecasts(redis)]
    assert {"read": 4, "lost": 0, "forecast": 4} == counts_of(settings)
    assert 0.0 == sum(sample(health, "tidecast_failures_total", kind=kind) for kind in FAILURES)
    assert 0.0 == sample(health, "tidecast_commits_retried_total")
    assert [] == [line["event"] for line in log if line["log_level"] in ("warning", "error")]


def test_a_read_that_waits_is_made_again(settings: Settings, redis: Redis) -> None:
    """Killing all connections usually hits one that waits for readings."""
    patient = settings.model_copy(update={"worker": settings.worker.model_copy(update={"block": 0.5})})
    health = Health()
    with capture_logs() as log, running(new_worker(patient, health)):
        for n in range(1, 6):
            until(lambda: redis.info("clients")["blocked_clients"])
            kill(redis)
            add(redis, n)
            until(lambda: len(forecasts(redis)) == n)  # noqa: B023 - called within the turn
    assert 0.0 == sum(sample(health, "tidecast_failures_total", kind=kind) for kind in FAILURES)
    assert [] == [line["event"] for line in log if line["log_level"] in ("warning", "error")]


def test_a_proxy_that_closes_what_is_idle_is_borne(
    settings: Settings, redis: Redis, redis_server: EmbeddedRedis
) -> None:
    """Redis itself does not know; the worker's socket reports that the other end is closed."""
    health = Health()
    with Proxy(redis_server.port) as proxy:
        worker = new_worker(elsewhere(settings, proxy.url), health)
        for n in range(1, 4):
            add(redis, n)
            worker.run(Stop(), burst=True)
            kill(redis)  # the proxy's own, and so the worker's
            until(lambda: others(redis) == 0)
            until(proxy.is_idle)
    assert 3 == len(forecasts(redis))
    assert 0.0 == sum(sample(health, "tidecast_failures_total", kind=kind) for kind in FAILURES)
