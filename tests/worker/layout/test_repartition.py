"""The number of partitions changes while readings arrive: each is answered once, and what belongs to a series moves."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.connections import connected
from tests.harness.patience import until
from tests.harness.servers.cluster import EmbeddedCluster
from tests.worker.layout.harness import SERIES, Plant
from tidecast.connection.partitions import at_present
from tidecast.connection.records.mutes import Mute
from tidecast.errors import Fenced
from tidecast.settings import load_settings
from tidecast.wire import Layout
from worker.layout.repartition import Repartitioner
from worker.layout.router import Router


def test_series_move_from_1_to_16_to_4_partitions_and_back(plant: Plant) -> None:
    """Readings that arrive meanwhile are answered once and in order, and the counts go on."""
    for partitions, known in ((16, None), (4, Layout((1, 16))), (1, Layout((1, 16, 4)))):
        before = plant.states()
        plant.order(partitions)
        plant.move(partitions)
        assert before == plant.states()
        plant.push(2 * SERIES)
        plant.serve(partitions)
        plant.push(2 * SERIES, known)  # by a producer that has not noticed
        plant.serve(partitions)
    counts = [plant.redis.hget(keys.offset, "forecast") for keys in plant.layout.present()]
    assert [b"%d" % sum(map(len, plant.pushed.values()))] == counts
    events = [
        (fields[b"phase"], fields[b"old"], fields[b"new"])
        for part in plant.layout.every_part()
        for _, fields in plant.redis.xrange(part.keys.events)
        if fields[b"kind"] == b"repartition"
    ]
    changes = [(b"1", b"16"), (b"16", b"4"), (b"4", b"1")]
    assert [(phase, *change) for change in changes for phase in (b"begins", b"ends")] == events
    assert not plant.redis.exists("repartition")


def test_readings_that_a_router_had_not_removed_are_not_routed_again(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died between two partitions and before it removed any; the new partitions know nothing of that."""
    plant.order(4)
    plant.serve(4)
    plant.push(3 * SERIES)
    _die_in_the_middle(plant, monkeypatch)
    plant.order(3)
    plant.serve(3)


def test_without_that_check_they_would_be_answered_twice(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail."""
    plant.order(4)
    plant.serve(4)
    plant.push(3 * SERIES)
    _die_in_the_middle(plant, monkeypatch)
    monkeypatch.setattr(Repartitioner, "_remove_routed", lambda *_: iter(()))
    plant.order(3)
    plant.move(3)
    until(lambda: plant.step() or plant.surplus() > 0)


def _die_in_the_middle(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a router append readings to the first two partitions, and end there."""
    router = Router(connected(plant.settings), at_present(plant.redis, plant.settings))
    append = router._append
    appended = []

    def once_or_twice(partition: int, *args: object) -> int:
        if len(appended) == 2:
            raise RedisConnectionError("gone")
        appended.append(partition)
        return append(partition, *args)  # type: ignore[arg-type] # as it is called

    monkeypatch.setattr(router, "_append", once_or_twice)
    with pytest.raises(RedisConnectionError):
        router.step()


def test_a_router_of_a_former_layout_appends_nothing(plant: Plant) -> None:
    """Its worker was stopped before it noticed."""
    plant.order(4)
    plant.serve(4)
    late = Router(connected(plant.settings), at_present(plant.redis, plant.settings))
    plant.order(3)
    plant.serve(3)
    plant.push(SERIES)
    with pytest.raises(Fenced):
        late.step()
    plant.serve(3)


def test_mutes_orders_and_due_times_move_too(plant: Plant) -> None:
    """A muted series stays muted, and retraining is due when it was."""
    keys = plant.layout.keys(0)
    plant.redis.hset(keys.muted, "s1", Mute(1, None, "me").encode())
    plant.redis.hset(keys.retrain, mapping={"trigger": "every 6h", "next_ms": 5, "state": "running", "token": "t"})
    plant.order(4)
    plant.serve(4)
    assert plant.redis.hexists(plant.layout.keys_for("s1").muted, "s1")
    for keys in plant.layout.present():
        assert {b"trigger": b"every 6h", b"next_ms": b"5"} == plant.redis.hgetall(keys.retrain)


def test_the_documented_rights_suffice(plant: Plant) -> None:
    """A worker with those of the page, and with those that it names for a repartition."""
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    patterns = (
        r"^ACL SETUSER tidecast-worker reset on \S+ (.+)$",
        r"The worker needs every key:\s+`([^`]+)`",
        r"The workers need\s+`([^`]+)` for it",
    )
    lists = [re.findall(pattern, page, re.MULTILINE)[0].split() for pattern in patterns]
    keys = lists.pop(1)
    rights = [word for words in lists for word in words if word[0] in "+-"]
    plant.redis.execute_command("ACL", "SETUSER", "w", "on", ">w", *keys, *rights)
    url = plant.settings.redis_url.get_secret_value().replace("redis://", "redis://w:w@")
    plant.settings = plant.settings.model_copy(update={"redis_url": SecretStr(url)})
    plant.new_worker()
    try:
        for partitions, known in ((4, None), (2, Layout((1, 4)))):
            plant.order(partitions)
            plant.move(partitions)
            plant.push(SERIES, known)
            plant.serve(partitions)
    finally:
        plant.redis.acl_deluser("w")


def test_in_a_redis_cluster_too(cluster: EmbeddedCluster) -> None:
    """From 2 partitions to 1, 16 and 4, while readings arrive."""
    plant = Plant(load_settings(redis_url=cluster.url, redis_cluster=True, partitions=2))
    plant.push(3 * SERIES)
    plant.serve(2)
    for partitions in (1, 16, 4):
        plant.push(SERIES)
        plant.order(partitions)
        plant.push(SERIES)
        plant.serve(partitions)
