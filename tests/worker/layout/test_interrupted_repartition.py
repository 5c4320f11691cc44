"""Whatever interrupts a repartition, another worker goes on with it, and one that comes too late changes nothing."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import cast

import pytest

from tests.harness.connections import connected
from tests.harness.patience import until
from tests.worker.layout.harness import SERIES, Plant, work
from tidecast.connection.repartitions import Repartition
from tidecast.errors import Conflict, Fenced
from worker.layout.new_partitions import NewPartitions
from worker.layout.repartition import CLAIM_S, Repartitioner
from worker.partition.stream import Stream


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
