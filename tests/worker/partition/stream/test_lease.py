"""A worker's claim to a partition."""

import pytest
from redis import Redis

from tidecast.connection.lag import Progress
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.partition.lease import RENEWALS, PartitionLease
from worker.partition.stream import Stream

LEASE_S = 6.0
NOW = 1_700_000_000.0


@pytest.fixture
def stream(redis: Redis) -> Stream:
    """The one partition of an emptied server."""
    return Stream(redis, keys_of(), WorkerSettings(lease=LEASE_S))


@pytest.fixture
def mine(stream: Stream) -> PartitionLease:
    """A partition that was just acquired."""
    mine = PartitionLease(stream, "me", LEASE_S)
    assert Progress("0-0", 0) == mine.acquire(NOW)
    return mine


def expire(redis: Redis) -> None:
    """Let the lease run out by the server's clock."""
    redis.hset("lease", "expires_ms", 0)


def expires(redis: Redis) -> int:
    """When it runs out."""
    return int(redis.hget("lease", "expires_ms") or 0)


def test_another_owner_does_not_get_it(mine: PartitionLease, stream: Stream) -> None:
    """The other worker gets neither the lease nor the progress, and the owner's claim is unharmed."""
    yours = PartitionLease(stream, "you", LEASE_S)
    assert yours.acquire(NOW) is None
    assert (False, True) == (yours.held, mine.held)
    assert mine.hold(NOW)


def test_the_lease_is_renewed_several_times_in_its_life(mine: PartitionLease, redis: Redis) -> None:
    """It is not renewed at every step, but long before it runs out."""
    expire(redis)
    assert mine.hold(NOW + LEASE_S / RENEWALS - 0.01)
    assert 0 == expires(redis)
    assert mine.hold(NOW + LEASE_S / RENEWALS)
    assert 0 < expires(redis)
    expire(redis)
    assert mine.hold(NOW + LEASE_S / RENEWALS + 1)
    assert 0 == expires(redis)


def test_a_commit_counts_as_a_renewal(mine: PartitionLease, redis: Redis) -> None:
    """A busy worker sends nothing more."""
    mine.renewed(NOW + 100)
    expire(redis)
    assert mine.hold(NOW + 101)
    assert 0 == expires(redis)


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_renews_the_lease_at_once(mine: PartitionLease, redis: Redis, jump_s: float) -> None:
    """Back or forth: an idle worker does not lose its partition for it."""
    expire(redis)
    assert mine.hold(NOW + jump_s)
    assert 0 < expires(redis)


def test_a_lost_lease_is_noticed_and_not_kept(mine: PartitionLease, stream: Stream, redis: Redis) -> None:
    """Once another took it, the claim is void, for ever."""
    expire(redis)
    yours = PartitionLease(stream, "you", LEASE_S)
    yours.acquire(NOW)
    assert not mine.hold(NOW + LEASE_S)
    assert not mine.held
    assert not mine.hold(NOW + LEASE_S)
    mine.release()
    assert yours.hold(NOW + LEASE_S)


def test_a_released_partition_is_free_for_the_next(mine: PartitionLease, stream: Stream) -> None:
    """The old owner no longer holds it."""
    mine.release()
    assert not mine.held
    assert PartitionLease(stream, "you", LEASE_S).acquire(NOW) is not None


def test_a_claim_that_was_given_up_asks_anew(mine: PartitionLease) -> None:
    """The same owner comes back under another epoch."""
    before = mine.epoch
    mine.lose()
    assert not mine.hold(NOW)
    assert mine.acquire(NOW) is not None
    assert before is not None
    assert before + 1 == mine.epoch
