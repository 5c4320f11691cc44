"""Workers on a real Redis Cluster: partitions shared, every reading answered once, a cluster that comes later."""

from collections import Counter
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tests.harness.processes import forked_worker
from tests.harness.servers.cluster import EmbeddedCluster
from tidecast.client import AsyncClient, Client
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import load_settings
from tidecast.tools.requeue import requeue
from tidecast.tools.series.life import SeriesRequest, change_series
from tidecast.tools.series.listing import list_series
from tidecast.wire import keys_of, partition_of

PARTITIONS = 8
CLUSTER: dict[str, Any] = {"redis_cluster": True, "partitions": PARTITIONS}
TS = 1_700_000_000_000
Process = AbstractContextManager[Forked]


def worker(folder: Path, url: str, *options: str, partitions: int = PARTITIONS) -> Process:
    """Return a worker process on a cluster."""
    return forked_worker(url, folder, *options, REDIS_CLUSTER="true", PARTITIONS=str(partitions))


async def test_two_workers_share_the_partitions_and_answer_every_reading_once(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    """Under way and at the end; both clients see every forecast."""
    settings = load_settings(redis_url=cluster.url, **CLUSTER)
    with (
        connect(settings) as redis,
        Client(cluster.url, **CLUSTER) as client,
        worker(tmp_path, cluster.url) as first,
        worker(tmp_path, cluster.url) as other,
    ):
        await_fair_shares(redis)
        pushed = []
        for n in range(20):
            readings = [(f"s{i}", float(n + i), TS + 1000 * n) for i in range(40)]
            ids = client.push_many(readings)
            pushed += [(series, entry_id) for (series, *_), entry_id in zip(readings, ids, strict=True)]
        live = client.forecasts("0", block_ms=100)
        answered = [(forecast.series, forecast.id) for forecast in islice(live, len(pushed))]
        for process in (first, other):
            process.terminate()
            assert 0 == process.wait(PATIENCE_S)
        assert sorted(pushed) == sorted(answered)
    async with AsyncClient(cluster.url, **CLUSTER) as again:
        all_of_them = [(f.series, f.id) async for f in again.forecasts("0", block_ms=1, stop_when_idle=True)]
    assert sorted(pushed) == sorted(all_of_them)


def test_a_worker_waits_for_a_cluster_and_finds_it_through_any_server(redis_program: str, tmp_path: Path) -> None:
    """It backs off, as with one server."""
    cluster = EmbeddedCluster(redis_program)
    with worker(tmp_path, cluster.servers[1].url, "--burst") as process:
        assert process.stderr
        assert "Redis Cluster cannot be connected" in process.stderr.readline()
        with cluster, Client(cluster.url, **CLUSTER) as client:
            assert 0 == process.wait(PATIENCE_S)
            assert client.push("a", 1.0)


@pytest.mark.parametrize(
    ("partitions", "sentence"), [(1, "setting partitions is 1"), (2, "setting redis_cluster is true, but")]
)
def test_a_setting_that_does_not_fit_is_one_sentence_and_exit_code_2(
    redis_server: EmbeddedRedis, tmp_path: Path, partitions: int, sentence: str
) -> None:
    """One partition, or a server that is not a cluster."""
    with worker(tmp_path, redis_server.url, partitions=partitions) as process:
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (2, 1) == (process.returncode, err.count("\n"))
    assert err.startswith(f"tidecast: {sentence}")


def await_fair_shares(redis: Redis) -> None:
    """Wait until two workers hold half of the partitions each."""

    def shares() -> list[int]:
        return [*Counter(redis.hget(keys_of(i, PARTITIONS).lease, "owner") for i in range(PARTITIONS)).values()]

    until(lambda: [PARTITIONS // 2] * 2 == shares())


def test_readings_without_their_partition_are_routed_in_a_cluster(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """Each partition may lie on another server than the common stream."""
    settings = load_settings(redis_url=cluster.url, **CLUSTER)
    with connect(settings) as redis, Client(cluster.url, **CLUSTER) as client, worker(tmp_path, cluster.url):
        ids = [redis.xadd("readings", {"series": f"s{n % 40}", "value": n, "ts": TS + n}).decode() for n in range(200)]
        live = client.forecasts("0", block_ms=100)
        assert sorted(ids) == sorted(forecast.id for forecast in islice(live, len(ids)))


def test_series_are_deleted_and_renamed_and_dead_letters_pushed_again(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """The keys of a partition lie on one server, which the commands find; a letter of another partition stays."""
    settings = load_settings(redis_url=cluster.url, store=tmp_path, **CLUSTER)
    new = next(name for i in range(1000) if partition_of(name := f"n{i}", PARTITIONS) == partition_of("a", PARTITIONS))
    with connect(settings) as redis, Client(cluster.url, **CLUSTER) as client, worker(tmp_path, cluster.url):
        client.push_many((name, float(n), TS + 1000 * n) for n in range(20) for name in ("a", "b"))
        until(lambda: {"a", "b"} <= {row.series for row in list_series(settings)})
        change_series(settings, SeriesRequest(series="a", new=new), PATIENCE_S)
        change_series(settings, SeriesRequest(series="b", purging=True), PATIENCE_S)
        assert [(new, 20)] == [(row.series, row.readings) for row in list_series(settings)]
        own = keys_of(partition_of("b", PARTITIONS), PARTITIONS)
        left = [fields for key in (own.readings, own.forecasts) for _, fields in redis.xrange(key)]
        assert b"b" not in [fields[b"series"] for fields in left]
        for key in ("a", "b"):
            redis.xadd(keys_of(partition_of(key, PARTITIONS), PARTITIONS).readings, {"series": "a", "value": "x"})
        letters = list(islice(client.dead("0"), 2))
        assert {"requeued": 1, "elsewhere": 1} == dict(requeue(settings, letters))
        assert {"before": 1, "elsewhere": 1} == dict(requeue(settings, letters))
