"""The doctor and the status on a Redis Cluster: the keys are looked at wherever they are."""

from typing import Any

import pytest
from redis.crc import key_slot

from tests.harness.models import make_model
from tests.harness.servers.cluster import EmbeddedCluster
from tidecast.client import Client
from tidecast.connection import connect
from tidecast.doctor.examination import examine
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.tools.status import StatusWatch
from worker.main import make_worker
from worker.metrics import Health

SLOTS_AT_MOST = 6000  # of the first of three servers
CLUSTER: dict[str, Any] = {"redis_cluster": True, "partitions": 4}
pytestmark = pytest.mark.settings(worker={"lease": 60.0}, retrain={"every": "never"}, **CLUSTER)


@pytest.fixture
def redis_server(cluster: EmbeddedCluster) -> EmbeddedCluster:
    """The cluster, emptied."""
    return cluster


def test_keys_are_looked_at_on_all_servers(cluster: EmbeddedCluster, settings: Settings) -> None:
    """While the worker runs, the doctor reports only true facts; after it has left, each partition is missed."""
    ModelStore(settings.store).publish(make_model("a"))
    with Client(cluster.url, **CLUSTER) as client:
        client.push_many([(f"s{i}", 1.0) for i in range(20)])
    worker = make_worker(settings, Health())
    for step in range(12):
        worker.step(1_800_000_000.0 + step)
    with connect(settings) as redis:
        status = StatusWatch(redis, settings).look().as_dict()
    assert (20, 20, 1) == (status["answered"], status["series"], len(status["workers"]))
    assert ["persistence"] == [finding.check for finding in examine(settings)]
    worker.leave()
    assert ["persistence"] + 4 * ["lease"] == [finding.check for finding in examine(settings)]


def test_a_cluster_that_the_settings_do_not_tell_of_is_found(settings: Settings) -> None:
    """The setting is named."""
    ModelStore(settings.store).publish(make_model("a"))
    elsewhere = next(name for name in map(str, range(100)) if key_slot(f"{name}:partitions".encode()) > SLOTS_AT_MOST)
    changes = {"redis_cluster": False, "partitions": 1, "namespace": elsewhere}
    (finding,) = examine(settings.model_copy(update=changes))
    assert ("cluster", "error") == (finding.check, finding.severity)
    assert "redis_cluster = true" in finding.remedy
