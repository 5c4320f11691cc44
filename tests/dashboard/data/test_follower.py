"""The background reader on a real Redis: incremental, bounded, and never ended by a fault of Redis."""

import pytest
from redis import Redis

from dashboard.data import follower as module
from dashboard.data.follower import Follower
from dashboard.data.recent import Y
from dashboard.data.signs import AGAIN_READS
from dashboard.data.totals import growth_of
from tests.dashboard.streams import entry
from tests.harness.models import make_model
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.records.mutes import Mute, mute_series, unmute_series
from tidecast.models.store import ModelStore
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.settings import Settings, load_settings
from tidecast.wire import Event, keys_of


def write(redis: Redis, series: str, *turns: int) -> None:
    """Forecasts as a worker writes them."""
    for turn in turns:
        entry_id, fields = entry(series, turn, turn, turn)
        redis.xadd("forecasts", dict(fields), id=entry_id)


def tell(redis: Redis, *events: Event) -> None:
    """Events as workers write them."""
    for event in events:
        flat = event.encode()
        redis.xadd("events", dict(zip(flat[::2], flat[1::2], strict=True)))


@pytest.fixture
def follower(settings: Settings) -> Follower:
    """One that has not looked yet."""
    return Follower(settings, 100)


def test_what_was_there_and_what_comes_is_read_once(redis: Redis, follower: Follower) -> None:
    """The newest first, then each new entry."""
    write(redis, "a", 0, 1, 2)
    assert follower.step(0.0)
    write(redis, "a", 3)
    assert follower.step(0.25)
    assert follower.step(0.5)
    assert [0, 1, 2, 3] == follower.recent.of(0)[:, Y].tolist()
    assert follower.ready.is_set()


def test_a_reader_that_falls_behind_skips_to_the_newest(
    monkeypatch: pytest.MonkeyPatch, redis: Redis, follower: Follower
) -> None:
    """It keeps the time, and the page shows it."""
    monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(module, "SKIPPED_TO", 3)
    follower.step(0.0)
    write(redis, "a", *range(9))
    follower.step(7.0)
    assert [0, 1, 2, 3, 6, 7, 8] == follower.recent.of(0)[:, Y].tolist()
    assert 7.0 == follower.skipped_at


def test_an_emptied_redis_is_begun_anew(redis: Redis, follower: Follower) -> None:
    """Deleted series disappear from the page."""
    write(redis, "a", 5)
    follower.step(0.0)
    redis.flushall()
    write(redis, "b", 1)
    follower.step(2.0)
    assert ["b"] == follower.recent.names


def test_redis_away_is_trouble_until_it_is_back(redis_program: str) -> None:
    """The reader goes on by itself."""
    with EmbeddedRedis(redis_program, ("--appendonly", "yes")) as server:
        follower = Follower(load_settings(redis_url=server.url), 100)
        assert follower.step(0.0)
        server.kill()
        assert not follower.step(1.0)
        assert "Error" in follower.trouble
        server.start()
        with Redis.from_url(server.url) as connection:
            write(connection, "a", 1)
        assert follower.step(2.0)
        assert ("", ["a"]) == (follower.trouble, follower.recent.names)


def test_an_unforeseen_error_is_trouble_and_not_the_end(
    redis: Redis, follower: Follower, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its thread the pages would show old values for ever, and nothing would say so."""
    with monkeypatch.context() as broken:
        broken.setattr(follower.recent, "add", lambda _entries: 1 / 0)
        write(redis, "a", 1)
        assert not follower.step(0.0)
        assert not follower.step(1.0)
    assert "ZeroDivisionError: division by zero" == follower.trouble
    assert 1 == caplog.text.count("the reader of the streams failed")
    assert follower.step(2.0)
    assert ("", ["a"]) == (follower.trouble, follower.recent.names)


def test_events_are_kept_and_the_last_of_a_series_tells_its_state(redis: Redis, follower: Follower) -> None:
    """Newest first, of one series or of all."""
    tell(redis, Event("drift", "x", "a"), Event("series_created", "y", "b"), Event("promoted", "z", "a", 2))
    tell(redis, Event("drift", "x", "b"))
    redis.xadd("events", {"other": "entry"})
    follower.step(0.0)
    assert ["drift", "promoted", "series_created", "drift"] == [event.kind for event in follower.newest_events(10)]
    assert ["promoted"] == [event.kind for event in follower.newest_events(1, "a")]
    assert {"b"} == follower.signs.drifting


def test_a_series_that_was_deleted_goes_until_it_comes_again(redis: Redis, follower: Follower) -> None:
    """A forecast after the event brings it back."""
    write(redis, "a", 1)
    write(redis, "b", 2)
    tell(redis, Event("anomaly", "x", "a"), Event("stuck", "x", "b"), Event("series_deleted", "x", "a"))
    follower.step(0.0)
    assert ["b"] == follower.recent.names
    assert ["series_deleted", "stuck"] == [event.kind for event in follower.newest_events(9)]
    redis.xadd("forecasts", entry("a", 3, 1.0, 1.0)[1])
    tell(redis, Event("series_expired", "x", "b"))
    follower.step(0.25)
    assert ["a"] == follower.recent.names
    redis.xadd("forecasts", entry("c", 4, 1.0, 1.0)[1])
    tell(redis, Event("stuck", "x", "a"), Event("series_renamed", "x", "c", facts={"old": "a", "new": "c"}))
    follower.step(0.5)
    assert ["series_renamed", "stuck"] == [event.kind for event in follower.newest_events(2, "c")]
    assert ["c"] == follower.recent.names


def store_state(redis: Redis, series: str, **watch: float) -> None:
    """Store the state of a series as a worker does, with some fields of its watch."""
    state = SeriesState(("value",), Window(10, 1))
    for name, value in watch.items():
        state.fields.watch[name] = value
    redis.hset("state", mapping=dict(state.changes(series)))


def test_conditions_come_from_the_states_at_the_start_and_after_each_event(redis: Redis, follower: Follower) -> None:
    """A state that cannot be read counts as in order: the worker reports it."""
    write(redis, "a", 1)
    write(redis, "b", 2)
    write(redis, "c", 3)
    store_state(redis, "a", stuck=1)
    store_state(redis, "b")
    redis.hset("state", "c", b"?")
    follower.step(0.0)
    assert {"a": "stuck"} == follower.signs.conditions
    store_state(redis, "a")
    store_state(redis, "b", anomaly_ts=5.0, degraded=1)
    tell(redis, Event("unstuck", "x", "a"), Event("anomaly", "x", "b"))
    follower.step(2.0)
    assert {"b": "anomalous"} == follower.signs.conditions


def test_a_condition_that_ends_without_an_event_is_noticed(redis: Redis, follower: Follower) -> None:
    """The series in trouble are read again from time to time."""
    write(redis, "a", 1)
    store_state(redis, "a", degraded=1)
    follower.step(0.0)
    assert {"a": "degraded"} == follower.signs.conditions
    store_state(redis, "a")
    for turn in range(1, AGAIN_READS):
        follower.step(2.0 * turn)
    assert {} == follower.signs.conditions


def test_mutes_and_dead_letters_of_known_series_are_read(redis: Redis, follower: Follower) -> None:
    """Names that only dead letters have would fill the memory."""
    write(redis, "a", 1)
    mute_series(redis, keys_of(), "a", Mute(0, None, "Ann"))
    redis.xadd("dead", {"reason": "bad_value", "original.series": "a"}, id="7-0")
    redis.xadd("dead", {"reason": "bad_value", "original.series": "never answered"}, id="8-0")
    follower.step(0.0)
    assert ({"a": 7.0}, {"a": Mute(0, None, "Ann")}) == (follower.signs.dead_ms, follower.signs.mutes)
    redis.xadd("dead", {"reason": "bad_value", "original.series": "a"}, id="9-0")
    unmute_series(redis, keys_of(), "a", "Ann")
    follower.step(2.0)
    assert ({"a": 9.0}, {}) == (follower.signs.dead_ms, follower.signs.mutes)


@pytest.mark.parametrize(
    ("lags", "growth"),
    [
        ([100, 200, 300, 400], 300),
        ([100, 90, 300, 200], 0),  # a push that is being worked off
        ([300, 300, 300, 300], 0),
        ([400, 300, 200, 100], 0),
    ],
)
def test_a_lag_grows_only_if_it_keeps_growing(lags: list[int], growth: int) -> None:
    """Over half a minute; a shorter time does not count."""
    assert growth == growth_of([(10.0 * i, lag) for i, lag in enumerate(lags)])
    assert 0 == growth_of([(float(i), lag) for i, lag in enumerate(lags)])


def test_totals_come_from_the_counts_that_workers_keep(redis: Redis, follower: Follower, store: ModelStore) -> None:
    """Rates are those between two looks; lost readings were never taken in."""
    store.publish(make_model("in-the-store"))
    redis.hset("offset", mapping={"last": "5-0", "read": 10, "forecast": 7, "dead": 2, "late": 1, "lost": 4})
    now_ms = 1000 * redis.time()[0]
    redis.hset("workers", mapping={"one": now_ms + 60_000, "gone": now_ms - 60_000})
    redis.hset("lease", mapping={"epoch": 1, "owner": "two", "expires_ms": now_ms + 60_000})
    redis.hset("retrain", mapping={"trigger": "every 6h", "state": "finished", "runs": 3, "next_ms": 7})
    redis.xadd("readings", {"series": "a", "value": 1})
    follower.step(0.0)
    redis.hincrby("offset", "forecast", 20)
    follower.step(2.0)
    totals = follower.totals
    assert totals is not None
    assert {"forecast": 27, "duplicate": 0, "late": 1, "dead": 2} == totals.counts
    assert (2, 1) == (totals.workers, totals.lag)
    assert (10.0, 10.0) == (totals.readings_per_s, totals.forecasts_per_s)
    assert [("every 6h", "finished", 3, 7)] == [(r.trigger, r.state, r.runs, r.next_ms) for r in totals.runs]
    assert {"in-the-store"} == follower.served


def test_the_lag_is_what_waits_whatever_the_passive_group_says(redis: Redis, follower: Follower) -> None:
    """Readings that were trimmed before they were read do not count."""
    for turn in range(1, 5):
        redis.xadd("readings", {"series": "a", "value": 1}, id=f"{turn}-0")
    redis.xgroup_create("readings", "tidecast", id="$")
    redis.hset("offset", mapping={"last": "1-0", "read": 1, "forecast": 1})
    redis.xtrim("readings", minid="3-0", approximate=False)
    follower.step(0.0)
    totals = follower.totals
    assert totals is not None
    assert 2 == totals.lag
