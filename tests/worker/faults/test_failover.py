"""A master becomes a replica, and its name leads to the new master: connections that stay open lead to the old one."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.harness.connections import connected
from tests.harness.events import happen
from tests.harness.patience import until
from tests.harness.servers.failover import Failover, two_servers
from tests.worker.harness import Impatient, elsewhere, new_worker, running
from tests.worker.notify.harness import TTL_S, Inbox
from tests.worker.retraining.harness import FINISH, record, stand_in
from tidecast.settings import NotifySettings, RetrainSettings, Settings
from tidecast.wire import Event
from worker.failures.backoff import Backoff
from worker.main import make_worker
from worker.metrics import Health
from worker.notify.main import _serve
from worker.notify.notifier import Notifier
from worker.notify.receiver import Receiver
from worker.notify.right import NotifyRight
from worker.retraining.scheduler import Schedule
from worker.retraining.triggers import timing_of
from worker.stop import Stop

pytestmark = pytest.mark.settings(worker={"block": "1ms"})


@pytest.fixture
def failover(redis_program: str) -> Iterator[Failover]:
    """Two servers that exchange their roles on demand."""
    with two_servers(redis_program) as pair:
        yield pair


def failures(health: Health) -> float:
    """Return the number of steps that failed because of Redis."""
    kinds = ("redis", "refused")
    return sum(health.registry.get_sample_value("tidecast_failures_total", {"kind": kind}) or 0.0 for kind in kinds)


def test_a_worker_without_readings_reaches_the_new_master(failover: Failover, settings: Settings) -> None:
    """It notices when it registers as alive, before any commit is refused."""
    health = Health()
    with running(make_worker(elsewhere(settings, failover.url), health)):
        failover.old.xadd("readings", {"series": "a", "value": 1})
        until(lambda: failover.old.xlen("forecasts"))
        failover.take_place()
        until(lambda: failures(health))
        failover.new.xadd("readings", {"series": "a", "value": 2})
        until(lambda: failover.new.xlen("forecasts") == 2)


def test_a_worker_leaves_the_old_master_after_a_refused_commit(failover: Failover, settings: Settings) -> None:
    """Also before it registers as alive again: the batch is sent to the new one."""
    worker = new_worker(elsewhere(settings, failover.url))
    failover.old.xadd("readings", {"series": "a", "value": 1})
    assert 1 == worker.step(time.time())
    failover.take_place()
    failover.new.xadd("readings", {"series": "a", "value": 2})
    until(lambda: worker.step(time.time(), Impatient(9)) == 1)
    assert 2 == failover.new.xlen("forecasts")


def test_a_schedule_reaches_the_new_master(failover: Failover, settings: Settings) -> None:
    """Its runs go on there."""
    chosen = elsewhere(settings, failover.url).model_copy(update={"retrain": RetrainSettings(every=1.0)})
    timing = timing_of(chosen.retrain)
    assert timing
    with Schedule(lambda: chosen, timing, lambda: {0}, "w", Health(), command=stand_in(FINISH)):
        until(lambda: record(failover.old).get("runs"))
        failover.take_place()
        runs = int(record(failover.new)["runs"])
        until(lambda: int(record(failover.new)["runs"]) > runs + 1)


def test_notifications_reach_the_new_master(failover: Failover, settings: Settings) -> None:
    """Events that it has are posted."""
    stop = Stop()
    health = Health()
    with Inbox() as inbox:
        options = NotifySettings(url=f"http://{inbox.address}/", group_wait=0, rate=6000)
        chosen = elsewhere(settings, failover.url).model_copy(update={"notify": options})
        redis = connected(chosen)
        right = NotifyRight(redis, lambda: chosen, "me", TTL_S)
        notifier = Notifier(redis, lambda: chosen, right, Receiver(options), health.notify)
        thread = threading.Thread(target=_serve, args=(lambda: notifier, Backoff(1.0), health, stop))
        thread.start()
        try:
            until(health.ready.is_set)
            until(lambda: failover.old.hexists("notify", "after:events"))
            failover.take_place()
            for detail in ("first", "second"):  # the first may be read from the old server, which is a replica now
                happen(failover.new, Event("stuck", detail, "a"))
                until(partial(lambda sent: sent in inbox.details(), detail))
        finally:
            stop.set()
            thread.join()
