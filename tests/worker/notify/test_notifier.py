"""Every event arrives at least once and in order, whatever the receiver, Redis or the process does."""

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from redis import Redis

from tests.harness.events import happen
from tests.harness.patience import until
from tests.worker.notify.harness import CLOSED, DRIP, GARBAGE, HANG, TTL_S, Inbox, Notifying, anomalies
from tidecast.connection.partitions import server_ms
from tidecast.connection.records.mutes import Mute, mute_series
from tidecast.connection.records.notify_record import read_record
from tidecast.errors import StreamError
from tidecast.settings import Settings
from tidecast.wire import Event, keys_of
from worker.notify.notifier import AT_ONCE


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """The receiver of the messages."""
    with Inbox() as running:
        yield running


@pytest.fixture
def notifying(redis: Redis, settings: Settings, inbox: Inbox) -> Notifying:
    """A notifier that has taken the right."""
    made = Notifying(redis, settings, inbox)
    made.run(0.1)
    return made


def test_events_are_grouped_and_those_before_the_first_start_are_left_out(
    redis: Redis, settings: Settings, inbox: Inbox
) -> None:
    """Who turns notifications on does not want those of last week; three events of a few seconds are one message."""
    happen(redis, Event("stuck", "old", "a"))
    notifying = Notifying(redis, settings, inbox)
    notifying.run(0.1)
    happen(redis, Event("stuck", "first", "a", facts={"value": 12.0, "ts": 1_700_000_000_000}))
    happen(redis, Event("started", "not of a kind that is posted"))
    notifying.run(4)
    happen(redis, Event("silent", "second", "b"))
    assert [] == inbox.taken
    notifying.run(2)
    [message] = inbox.taken
    assert ["first", "second"] == inbox.details()
    assert ["stuck  a  12 (at 2023-11-14T22:13:20Z)", "silent  b  second"] == [
        line.partition("Z  ")[2] for line in message["text"].split("\n")
    ]
    first = message["events"][0]
    assert ("stuck", "a", 12.0, 1_700_000_000_000) == tuple(first[name] for name in ("kind", "series", "value", "ts"))


@pytest.mark.parametrize("failure", [500, 404, 429, HANG, DRIP, GARBAGE])
def test_a_receiver_that_fails_gets_every_event_once_it_is_back(
    redis: Redis, settings: Settings, inbox: Inbox, failure: int
) -> None:
    """In their order, with pauses that grow; the record says since when and why."""
    notifying = Notifying(redis, settings, inbox, timeout=3 if failure in (HANG, DRIP) else 60)
    notifying.run(0.1)
    inbox.answers.extend([failure] * 3)
    first = anomalies(redis, 0, 3)
    notifying.run(5.5)
    record = read_record(redis, "")
    assert record
    assert 0 < record.failing_since_ms
    assert inbox.address in record.error
    assert "abc" not in record.error
    more = anomalies(redis, 3, 2)
    notifying.run(60)
    assert first + more == inbox.details()
    assert 4 == len(inbox.heads)
    after = read_record(redis, "")
    assert after
    assert (0, "", True) == (after.failing_since_ms, after.error, after.sent_ms > 0)
    assert 3 == notifying.count("tidecast_notification_failures_total")
    assert 5 == notifying.count("tidecast_notifications_total", result="delivered")


def test_a_thousand_events_pass_a_receiver_that_is_away_for_a_minute(
    redis: Redis, settings: Settings, inbox: Inbox
) -> None:
    """From several partitions: each arrives, after the earlier ones of its series, and the rate is kept."""
    notifying = Notifying(redis, settings.model_copy(update={"partitions": 4}), inbox)
    notifying.run(0.1)
    inbox.answers.extend([503] * 7)  # the pauses between the tries are a minute together, or longer
    expected = []
    for part in range(10):
        expected += anomalies(redis, 100 * part, 100, partitions=4)
        notifying.run(6)
    notifying.run(120)  # the longest that the pauses can take
    assert sorted(expected) == sorted(inbox.details())
    for series in range(5):  # events of one millisecond have the same id in several partitions
        of_series = [detail for detail in inbox.details() if int(detail) % 5 == series]
        assert [detail for detail in expected if int(detail) % 5 == series] == of_series
    assert len(inbox.taken) <= 20


def test_a_message_that_is_refused_is_split_until_the_odd_event_is_found(
    redis: Redis, inbox: Inbox, notifying: Notifying
) -> None:
    """One event must not keep back all that follow, and large messages fit in the end."""
    inbox.too_many = 3
    details = anomalies(redis, 0, 9)
    notifying.run(60)
    assert details == inbox.details()
    assert all(len(body["events"]) <= 2 for body in inbox.taken)
    inbox.too_many = 1
    anomalies(redis, 9, 1)
    notifying.run(60)
    record = read_record(redis, "")
    assert record
    assert (round(notifying.now * 1000) - 60_000 < record.refused_ms, record.failing_since_ms) == (True, 0)
    assert f"http://{inbox.address} answers 413 {HTTPStatus(413).phrase}" == record.refusal
    inbox.too_many = 10
    assert ["10"] == anomalies(redis, 10, 1)
    notifying.run(60)
    assert [*details, "10"] == inbox.details()
    assert 1 == notifying.count("tidecast_notifications_total", result="refused")


def test_messages_keep_to_the_rate(redis: Redis, settings: Settings, inbox: Inbox) -> None:
    """A pager is not flooded; what waits goes into the next message."""
    notifying = Notifying(redis, settings, inbox, group_wait=0, rate=2)
    notifying.run(0.1)
    for number in range(120):
        anomalies(redis, number, 1)
        notifying.run(1)
    assert 4 <= len(inbox.taken) <= 5
    notifying.run(31)
    assert 120 == len(inbox.details())


def test_after_a_crash_another_process_goes_on_from_the_record(
    redis: Redis, settings: Settings, inbox: Inbox, notifying: Notifying
) -> None:
    """At once if the first gave its right back, else once that has run out; until then the second posts nothing."""
    first = anomalies(redis, 0, 2)
    notifying.run(6)
    more = anomalies(redis, 2, 2)
    notifying.run(1)  # it has read them, and dies
    second = Notifying(redis, settings, inbox, "two")
    second.run(30)
    assert first == inbox.details()
    redis.hset("notify", "expires_ms", 1)
    second.run(30)
    assert first + more == inbox.details()
    notifying.now += TTL_S  # the first was only paused: it finds that it has lost the right
    notifying.run(1)
    assert not notifying.notifier.held
    second.notifier.leave()
    last = anomalies(redis, 4, 1)
    notifying.run(30)
    assert first + more + last == inbox.details()


def test_a_message_whose_delivery_could_not_be_stored_is_sent_again(
    redis: Redis, settings: Settings, inbox: Inbox, notifying: Notifying
) -> None:
    """At least once: the receiver may see an event twice, by its id, but never not at all."""
    details = anomalies(redis, 0, 1)
    position = redis.hget("notify", "after:events")
    notifying.run(6)
    redis.hset("notify", mapping={"after:events": position, "expires_ms": 1})  # as if the process had died in between
    Notifying(redis, settings, inbox, "two").run(10)
    assert details * 2 == inbox.details()
    assert inbox.taken[0]["events"] == inbox.taken[1]["events"]


def test_nobody_is_told_about_a_muted_series(redis: Redis, inbox: Inbox, notifying: Notifying) -> None:
    """Until the mute ends."""
    mute_series(redis, keys_of(), "s0", Mute(0, round(notifying.now * 1000) + 20_000, "Ann"))
    anomalies(redis, 0, 2)
    notifying.run(15)
    assert ["1"] == inbox.details()
    notifying.run(10)
    anomalies(redis, 5, 1)
    notifying.run(10)
    assert ["1", "5"] == inbox.details()


def test_a_backlog_needs_no_wait_and_trimmed_events_are_logged(
    redis: Redis, settings: Settings, inbox: Inbox, notifying: Notifying, caplog: pytest.LogCaptureFixture
) -> None:
    """Full messages are posted at once; what the stream no longer has is lost, and that is said."""
    anomalies(redis, 0, 1)
    notifying.run(6)
    notifying.notifier.leave()
    inbox.taken.clear()
    details = anomalies(redis, 0, 3 * AT_ONCE)
    redis.xtrim("events", maxlen=len(details) - 1, approximate=False)
    again = Notifying(redis, settings, inbox, "two")
    again.run(4)
    assert "may have been trimmed unread" in caplog.text
    assert 1 == again.count("tidecast_notification_gaps_total")
    record = read_record(redis, "")
    assert record
    assert round(again.now * 1000) - 60_000 < record.gap_ms
    assert details[1:] == [*inbox.details(), *details[1 + len(inbox.details()) :]]
    assert 2 * AT_ONCE <= len(inbox.details())


@pytest.mark.parametrize("field", ["ts", "since", "version"])
def test_an_entry_with_a_number_that_no_message_can_hold_is_skipped(
    redis: Redis, inbox: Inbox, notifying: Notifying, field: str
) -> None:
    """Another program may have written it: it must not end the notifier again at each start."""
    redis.xadd("events", {"kind": "anomaly", "detail": "odd", "phase": "begins", field: "9" * 400})
    after = anomalies(redis, 0, 1)
    notifying.run(10)
    assert after == inbox.details()


def test_events_that_are_trimmed_while_the_receiver_is_away_are_logged(
    redis: Redis, inbox: Inbox, notifying: Notifying, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream keeps a limited number of events: those that it lost meanwhile are never posted."""
    inbox.answers.extend([500] * 5)
    first = anomalies(redis, 0, AT_ONCE + 1)
    notifying.run(20)
    later = anomalies(redis, AT_ONCE + 1, 2 * AT_ONCE)
    redis.xtrim("events", maxlen=AT_ONCE, approximate=False)
    assert not caplog.messages
    notifying.run(200)
    assert first[:AT_ONCE] + later[AT_ONCE:] == inbox.details()
    assert ["may have been trimmed unread" in message for message in caplog.messages] == [True]


def test_the_lag_is_the_age_of_the_oldest_event_that_waits(redis: Redis, inbox: Inbox, notifying: Notifying) -> None:
    """An alert on it wakes somebody when no message can."""
    inbox.answers.extend([500] * 100)
    happen(redis, Event("stuck", "", "a"), entry_id="1000-0")
    notifying.run(10)
    assert 1_000_000 < notifying.count("tidecast_notification_lag_seconds")
    inbox.answers.clear()
    notifying.run(60)
    assert 0 == notifying.count("tidecast_notification_lag_seconds")


def empty(redis: Redis) -> None:
    """Empty the server; the ids of the events that follow are higher than those before."""
    emptied_ms = server_ms(redis)
    redis.flushall()
    until(lambda: server_ms(redis) > emptied_ms)


def test_no_event_is_lost_when_redis_is_emptied(redis: Redis, inbox: Inbox, notifying: Notifying) -> None:
    """The process goes on from its memory: those that it has read and those that come next are posted."""
    details = anomalies(redis, 0, 1)
    notifying.run(1)
    empty(redis)
    for number in range(1, 20):
        details += anomalies(redis, number, 1)
        notifying.run(1)
    notifying.run(6)
    assert details == inbox.details()


@pytest.mark.parametrize("taken_by", ["one", "two"])
def test_no_event_is_lost_when_the_record_is_lost_with_a_connection(
    redis: Redis, settings: Settings, inbox: Inbox, notifying: Notifying, taken_by: str
) -> None:
    """A Redis that restarts without its data; a process that stood by has seen the positions."""
    other = Notifying(redis, settings, inbox, "two")
    other.run(0.1)
    anomalies(redis, 0, 1)
    notifying.run(6)
    empty(redis)
    details = anomalies(redis, 1, 3)
    notifying.notifier.failed(OSError())
    {"one": notifying, "two": other}[taken_by].run(10)
    assert ["0", *details] == inbox.details()


def test_deleting_the_newest_event_posts_none_again(redis: Redis, settings: Settings, inbox: Inbox) -> None:
    """A stream without its newest entry is not one that was started again."""
    first = Notifying(redis, settings, inbox)
    first.run(0.1)
    details = anomalies(redis, 0, 2)
    first.run(6)
    first.notifier.leave()
    redis.xdel("events", redis.xrevrange("events", count=1)[0][0])
    Notifying(redis, settings, inbox, "two").run(10)
    assert details == inbox.details()


@pytest.mark.parametrize("failure", [500, CLOSED])
def test_a_message_that_a_receiver_fails_over_is_split(
    redis: Redis, inbox: Inbox, notifying: Notifying, failure: int
) -> None:
    """One that is too large, or has an event that makes it crash: the others before it are delivered, in order."""
    inbox.too_many = 4
    inbox.too_many_status = failure
    details = anomalies(redis, 0, 10)
    notifying.run(600)
    assert details == inbox.details()


def test_a_key_of_the_wrong_type_is_reported_with_a_remedy(redis: Redis, notifying: Notifying) -> None:
    """The process goes on once it is gone, and the log is not filled meanwhile."""
    redis.set("muted", "other")
    anomalies(redis, 0, 1)
    with pytest.raises(StreamError, match="rename or delete it"):
        notifying.run(10)
