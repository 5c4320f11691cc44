"""Which workers are running, and how many partitions each of them serves."""

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from tests.worker.harness import NOW, share_of
from tidecast.connection.partitions import server_ms
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import Layout
from worker.main import make_worker
from worker.membership import EVERY_S, SILENT_S, Membership, claim_layout
from worker.metrics import Health

KEY = "workers"


def membership(redis: Redis, name: str, lease_s: float = 5.0) -> Membership:
    """Return a worker's view of the others."""
    return Membership(redis, Layout((8,)), name, lease_s)


def test_a_layout_that_is_evicted_right_after_it_was_stored_counts(redis: Redis) -> None:
    """The next look stores it again."""
    redis.set = lambda *_args, **_options: True  # type: ignore[method-assign, assignment] # the key is gone at once
    assert Layout((8,)) == claim_layout(redis, Layout((8,)))


def test_a_worker_alone_serves_all(redis: Redis) -> None:
    """No other worker can serve them."""
    assert 8 == share_of(membership(redis, "a"), NOW)


@pytest.mark.parametrize(("workers", "share"), [(2, 4), (3, 3), (8, 1), (9, 1)])
def test_partitions_are_shared_evenly(redis: Redis, workers: int, share: int) -> None:
    """Some get one more where they do not divide, each gets at least one; a worker beyond the last partition stands
    by.
    """
    there = [membership(redis, str(i)) for i in range(workers)]
    for member in there:
        share_of(member, NOW)
    assert [share] * workers == [share_of(member, NOW + EVERY_S) for member in there]


def test_who_leaves_is_counted_no_more(redis: Redis) -> None:
    """The next time that the others look."""
    member = membership(redis, "a")
    other = membership(redis, "b")
    share_of(other, NOW)
    assert 4 == share_of(member, NOW)
    other.leave()
    assert 8 == share_of(member, NOW + EVERY_S)


def test_who_is_silent_for_a_lease_is_counted_no_more(redis: Redis) -> None:
    """By the server's clock; its entry is removed."""
    redis.hset(KEY, "dead", 1)
    assert 8 == share_of(membership(redis, "a"), NOW)
    assert [b"a"] == redis.hkeys(KEY)


def test_a_silent_worker_gets_no_share_during_a_repartition(redis: Redis) -> None:
    """New partitions have no lease yet, and need not wait until that of a dead worker runs out."""
    member = membership(redis, "a")
    share_of(membership(redis, "b"), NOW)
    redis.hincrby(KEY, "b", round(-1000 * SILENT_S))  # its last sign of life was so long ago
    assert 4 == share_of(member, NOW)
    member.hurried = True
    assert 8 == share_of(member, NOW + EVERY_S)
    assert redis.hexists(KEY, "b")
    share_of(membership(redis, "b"), NOW)
    assert 4 == share_of(member, NOW + 2 * EVERY_S)


def test_a_dead_worker_is_left_out_at_once(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment when its time runs out, not at the next regular look."""
    monkeypatch.setattr("worker.membership.EVERY_S", 1000.0)
    member = membership(redis, "a", lease_s=3600.0)
    redis.hset(KEY, "b", server_ms(redis) + 50_000)
    assert 4 == share_of(member, NOW)
    redis.hset(KEY, "b", 1)
    assert 4 == share_of(member, NOW + 10)
    assert 8 == share_of(member, NOW + 50)


def test_redis_is_not_asked_at_every_step(redis: Redis) -> None:
    """Twice a second at most, unless the clock was set back."""
    member = membership(redis, "a")
    share_of(member, NOW)
    redis.delete(KEY)
    share_of(member, NOW + EVERY_S / 2)
    assert not redis.exists(KEY)
    share_of(member, NOW - 100)
    assert redis.exists(KEY)


def test_a_short_lease_is_renewed_in_time(redis: Redis) -> None:
    """Redis is queried more than twice a second where a worker would pass for dead otherwise; it counts itself."""
    member = membership(redis, "a", lease_s=0.3)
    share_of(member, NOW)
    redis.delete(KEY)
    share_of(member, NOW + 0.11)
    assert redis.exists(KEY)
    assert 8 == share_of(membership(redis, "b", lease_s=1e-4), NOW)


def test_a_key_of_another_type_is_refused(redis: Redis) -> None:
    """Another program's key is not overwritten."""
    redis.set(KEY, "mine")
    with pytest.raises(ResponseError, match="workers is not a hash"):
        share_of(membership(redis, "a"), NOW)


def test_the_number_in_redis_counts_once_it_is_written(settings: Settings, redis: Redis) -> None:
    """Series would change their partition otherwise, and lose their state; the log says so."""
    make_worker(settings, Health())
    assert b"1" == redis.get("partitions")
    with capture_logs() as logs:
        worker = make_worker(settings.model_copy(update={"partitions": 4}), Health())
    assert 1 == worker.settings.partitions
    assert ["setting partitions does not count, as Redis has a number"] == [line["event"] for line in logs]


def test_a_number_that_was_deleted_is_written_again(redis: Redis) -> None:
    """The workers at work write it before a worker with another number comes; another one is read."""
    member = membership(redis, "a")
    member.look(NOW)
    redis.flushall()
    member.look(NOW + EVERY_S)
    assert b"8" == redis.get("partitions")
    redis.set("partitions", "8,4")
    member.look(NOW + 2 * EVERY_S)
    assert Layout((8, 4)) == member.layout


def test_a_number_that_is_none_is_an_error_with_the_remedy(redis: Redis) -> None:
    """Another program may have written it."""
    redis.set("partitions", "many")
    with pytest.raises(SettingsError, match="partitions in Redis is 'many', not a number: delete it"):
        membership(redis, "a").look(NOW)
