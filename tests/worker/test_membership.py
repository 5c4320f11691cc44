"""Which workers are running, and how many partitions each of them serves."""

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tidecast.errors import SettingsError
from tidecast.settings import Settings
from worker.main import make_worker
from worker.membership import EVERY_S, Membership, claim_partitions
from worker.metrics import Health

KEY = "workers"
NOW = 1_700_000_000.0


def membership(redis: Redis, name: str, lease_s: float = 5.0) -> Membership:
    """Return a worker's view of the others."""
    return Membership(redis, ("partitions", KEY), name, lease_s)


def test_a_worker_alone_serves_all(redis: Redis) -> None:
    """There is no other worker to serve them."""
    assert 8 == membership(redis, "a").share(8, NOW)


@pytest.mark.parametrize(("workers", "share"), [(2, 4), (3, 3), (8, 1), (9, 1)])
def test_partitions_are_shared_evenly(redis: Redis, workers: int, share: int) -> None:
    """Some get one more where they do not divide, each gets at least one; a worker beyond the last partition stands
    by.
    """
    there = [membership(redis, str(i)) for i in range(workers)]
    for member in there:
        member.share(8, NOW)
    assert [share] * workers == [member.share(8, NOW + EVERY_S) for member in there]


def test_who_leaves_is_counted_no_more(redis: Redis) -> None:
    """The next time that the others look."""
    member = membership(redis, "a")
    other = membership(redis, "b")
    other.share(8, NOW)
    assert 4 == member.share(8, NOW)
    other.leave()
    assert 8 == member.share(8, NOW + EVERY_S)


def test_who_is_silent_for_a_lease_is_counted_no_more(redis: Redis) -> None:
    """By the server's clock; its entry is removed."""
    redis.hset(KEY, "dead", 1)
    assert 8 == membership(redis, "a").share(8, NOW)
    assert [b"a"] == redis.hkeys(KEY)


def test_redis_is_not_asked_at_every_step(redis: Redis) -> None:
    """Twice a second at most, unless the clock was set back."""
    member = membership(redis, "a")
    member.share(8, NOW)
    redis.delete(KEY)
    member.share(8, NOW + EVERY_S / 2)
    assert not redis.exists(KEY)
    member.share(8, NOW - 100)
    assert redis.exists(KEY)


def test_a_short_lease_is_renewed_in_time(redis: Redis) -> None:
    """Redis is queried more than twice a second where a worker would pass for dead otherwise; it counts itself."""
    member = membership(redis, "a", lease_s=0.3)
    member.share(8, NOW)
    redis.delete(KEY)
    member.share(8, NOW + 0.11)
    assert redis.exists(KEY)
    assert 8 == membership(redis, "b", lease_s=1e-4).share(8, NOW)


def test_a_key_of_another_type_is_refused(redis: Redis) -> None:
    """Another program's key is not overwritten."""
    redis.set(KEY, "mine")
    with pytest.raises(ResponseError, match="workers is not a hash"):
        membership(redis, "a").share(8, NOW)


def test_another_number_of_partitions_is_an_error_with_the_remedy(redis: Redis) -> None:
    """It is written down once: series would change their partition, and lose their state."""
    claim_partitions(redis, "partitions", 8)
    claim_partitions(redis, "partitions", 8)
    with pytest.raises(SettingsError, match=r"partitions is 4, but partitions in Redis says 8: use that"):
        claim_partitions(redis, "partitions", 4)


def test_one_partition_is_written_down_too(settings: Settings, redis: Redis) -> None:
    """Otherwise a worker with several would not see that there are readings in the only one."""
    make_worker(settings, Health())
    assert b"1" == redis.get("partitions")
    with pytest.raises(SettingsError, match="setting partitions is 4, but partitions in Redis says 1"):
        make_worker(settings.model_copy(update={"partitions": 4}), Health())


def test_a_number_that_was_deleted_is_written_again(redis: Redis) -> None:
    """The workers at work write it before a worker with another number comes; one that came in between is reported."""
    member = membership(redis, "a")
    member.share(8, NOW)
    redis.flushall()
    member.share(8, NOW + EVERY_S)
    assert b"8" == redis.get("partitions")
    redis.set("partitions", 4)
    with pytest.raises(SettingsError, match="setting partitions is 8, but partitions in Redis says 4"):
        member.share(8, NOW + 2 * EVERY_S)
