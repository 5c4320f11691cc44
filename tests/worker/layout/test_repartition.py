"""The number of partitions changes while readings arrive: each is answered once, wherever it is interrupted."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.connections import connected
from tests.harness.patience import until
from tests.harness.servers.cluster import EmbeddedCluster
from tests.harness.states import all_whole
from tests.worker.harness import NOW
from tidecast.connection.partitions import at_present, offset_of
from tidecast.connection.records.mutes import Mute
from tidecast.connection.repartitions import Repartition, order_repartition
from tidecast.errors import Conflict, Fenced
from tidecast.settings import Settings, load_settings
from tidecast.wire import Layout, layout_of
from worker.layout.new_partitions import NewPartitions
from worker.layout.repartition import CLAIM_S, Repartitioner
from worker.layout.router import Router
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.stop import Stop

SERIES = 12
Times = dict[str, list[str]]


class Plant:
    """An installation with one worker, which is stepped by hand, and a producer that knows only the plain stream."""

    def __init__(self, settings: Settings) -> None:
        named = settings.worker.model_copy(update={"name": "w"})  # the next worker takes over at once
        self.settings = settings.model_copy(update={"worker": named})
        self.redis = connected(settings)
        self.pushed: Times = defaultdict(list)
        self._numbers = count()
        self._now = NOW
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        """Return another worker, which takes over as after a kill."""
        self.worker = make_worker(self.settings, Health())
        return self.worker

    @property
    def layout(self) -> Layout:
        """Return the layout in Redis."""
        return layout_of(at_present(self.redis, self.settings))

    def push(self, readings: int, layout: Layout | None = None) -> None:
        """Push readings of all series in turn to the partitions of a layout, or to the plain stream."""
        for n, _ in zip(self._numbers, range(readings), strict=False):
            series = f"s{n % SERIES}"
            key = layout.keys_for(series).readings if layout else "readings"
            fields: dict[bytes | str, str | int] = {"series": series, "value": n * n % 17, "ts": 1000 * (n + 1)}
            self.redis.xadd(key, fields, id=f"{n + 1}-0")  # type: ignore[arg-type] # strings and numbers are fine
            self.pushed[series].append(f"{1000 * (n + 1)}")

    def order(self, partitions: int) -> Repartition:
        """Give the command."""
        layout = self.layout
        order = Repartition(partitions, layout.partitions, layout.generation + 1, 0)
        assert order_repartition(self.redis, "", order)
        return order

    def step(self) -> None:
        """Let the worker do a round, each time a second later."""
        self._now += 1
        self.worker.step(self._now, Stop())

    def move(self, partitions: int) -> None:
        """Step the worker until there are so many partitions."""
        while self.layout.partitions != partitions:
            self.step()

    def serve(self, partitions: int) -> None:
        """Step the worker until there are so many partitions, and all readings are answered."""
        self.move(partitions)
        until(lambda: self.step() or self.answered() == self.pushed)
        assert self.surplus() == 0

    def surplus(self) -> int:
        """Return how many more readings the workers have read than were pushed."""
        read = sum(offset_of(self.redis, keys).counts["read"] for keys in self.layout.present())
        return read - sum(map(len, self.pushed.values()))

    def answered(self) -> Times:
        """Return the times of the answered readings by series, in the order of their forecasts."""
        times: Times = defaultdict(list)
        for part in self.layout.every_part():
            for _, fields in self.redis.xrange(part.keys.forecasts):
                times[fields[b"series"].decode()].append(fields[b"origin"].decode())
        return times

    def states(self) -> dict[str, bytes]:
        """Return the states by series."""
        states: dict[str, bytes] = {}
        for keys in self.layout.present():
            fields = {name.decode(): raw for name, raw in self.redis.hgetall(keys.state).items()}
            states |= all_whole(fields)
        return states


@pytest.fixture
def plant(settings: Settings, redis: Redis) -> Plant:  # noqa: ARG001 - it empties the server
    """A new installation of one partition that has answered some readings."""
    plant = Plant(settings)
    plant.push(5 * SERIES)
    plant.serve(1)
    return plant


@pytest.fixture
def expected(plant: Plant) -> dict[str, bytes]:
    """The states."""
    return plant.states()


def work(plant: Plant) -> Iterator[float]:
    """Order a repartition, and return its pieces of work, as a worker of its own does them."""
    order = plant.order(3)
    return Repartitioner(connected(plant.settings), plant.settings)._carry_out(plant.layout, order)


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


def test_it_goes_on_wherever_it_was_interrupted(plant: Plant, expected: dict[str, bytes]) -> None:
    """The worker that carries it out dies after each piece of its work in turn; readings arrive in between."""
    for pieces in count():
        layout = plant.layout
        order = plant.order(2 + pieces % 2)
        left = Repartitioner(plant.redis, plant.settings)._carry_out(layout, order)
        done = [next(left, "over") for _ in range(pieces)]
        plant.push(SERIES)
        plant.new_worker()
        plant.serve(order.partitions)
        if "over" in done:
            break
    assert pieces > 6
    assert expected.keys() == plant.states().keys()


def test_a_late_worker_changes_nothing_any_more(plant: Plant) -> None:
    """It was stopped in the middle, and another one has carried the repartition out meanwhile."""
    for pieces in range(7):
        layout = plant.layout
        order = plant.order(2 + pieces % 2)
        late = Repartitioner(connected(plant.settings), plant.settings)._carry_out(layout, order)
        for _ in range(pieces):
            next(late, None)
        plant.serve(order.partitions)
        plant.push(SERIES)
        plant.serve(order.partitions)
        before = plant.states()
        with suppress(Conflict):  # another worker has copied the states
            list(late)
        assert (before, order.partitions) == (plant.states(), plant.layout.partitions)


def test_without_its_fence_a_late_worker_would_bring_old_states_back(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail."""
    late = work(plant)
    next(late)
    plant.serve(3)
    plant.push(SERIES)
    plant.serve(3)
    before = plant.states()
    monkeypatch.setattr(NewPartitions, "write", lambda self, _, key, fields: self._redis.hset(key, mapping=fields))
    with suppress(Conflict):
        list(late)
    assert before != plant.states()


def test_states_that_change_while_they_are_copied_are_copied_again(plant: Plant) -> None:
    """Partitions are served until all states are copied once, and only those that were written since hold them up."""
    assert _states_after_changes(plant) == plant.states()
    plant.redis.delete("repartition_claim")
    plant.serve(3)


def test_without_notes_of_the_changes_they_would_be_lost(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail."""
    monkeypatch.setattr(Repartitioner, "_copy_noted", lambda *_: iter(()))
    assert _states_after_changes(plant) != plant.states()


def _states_after_changes(plant: Plant) -> dict[str, bytes]:
    """Carry out a repartition while readings are answered; return the states of before the partitions were closed."""
    plant.redis.set("repartition_claim", "another worker")  # so that the worker goes on to serve
    states = {}
    for _ in work(plant):
        if not plant.redis.hexists("offset", "closed"):
            plant.push(SERIES)
            until(lambda: plant.step() or plant.answered() == plant.pushed)
            states = plant.states()
    return states


def test_another_worker_goes_on_with_a_copy(plant: Plant) -> None:
    """At once, without copying all states again; but not while the first one is at it."""
    plant.redis.set("repartition_claim", "another worker")
    first = work(plant)
    until(lambda: next(first) and plant.redis.hexists("{1.0}:offset", "copied"))
    plant.step()
    copy = plant.redis.hget("{1.0}:offset", "copy")
    second = Repartitioner(connected(plant.settings), plant.settings)
    assert (False, copy, False) == (
        second.step(plant.settings),
        plant.redis.hget("{1.0}:offset", "copy"),
        plant.redis.hexists("offset", "closed"),
    )
    plant.redis.delete("repartition_claim")
    pieces = second._carry_out(plant.layout, cast("Repartition", second.wanted()))
    next(pieces)
    assert plant.redis.hexists("offset", "closed")
    assert copy == plant.redis.hget("{1.0}:offset", "copy")
    list(pieces)
    plant.serve(3)


@pytest.mark.parametrize(("taken", "pieces"), [(False, 4), (True, 2)])
def test_a_worker_keeps_its_claim_while_it_works(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, *, taken: bool, pieces: int
) -> None:
    """If pieces of work take long, two workers would begin again in turn; one whose claim was taken over stops."""
    monkeypatch.setattr("worker.layout.repartition.RENEW_S", -1.0)
    done = []

    def carry_out(*_: object) -> Iterator[float]:
        for number in range(4):
            done.append(number)
            if taken and number == 1:
                plant.redis.set("repartition_claim", "another worker")
            elif not taken:
                plant.redis.pexpire("repartition_claim", 10_000)
            yield 60.0

    monkeypatch.setattr(Repartitioner, "_carry_out", carry_out)
    plant.order(2)
    repartitioner = Repartitioner(plant.redis, plant.settings)
    assert repartitioner.step(plant.settings) is not taken
    assert pieces == len(done)
    assert plant.redis.pttl("repartition_claim") <= 1000 * CLAIM_S


def test_no_commit_of_a_closed_partition_succeeds(plant: Plant) -> None:
    """And nobody acquires it again: its last commit is final."""
    stream = Stream(plant.redis, plant.layout.keys(0), plant.settings.worker)
    epoch = int(plant.redis.hget("lease", "epoch") or 0)  # type: ignore[arg-type] # the synchronous client
    assert stream.hold(epoch)
    pieces = work(plant)
    until(lambda: next(pieces) and plant.redis.hexists("offset", "closed"))
    with pytest.raises(Fenced):
        stream.clear(epoch)
    assert (None, False) == (stream.acquire("other"), stream.hold(epoch))


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
