"""`tidecast doctor SERIES` after a repartition, and beside entries that another program wrote."""

from tests.harness.events import happen
from tests.harness.installation import Installation
from tidecast.doctor.series import facts_of, sentences
from tidecast.online.series.describe_state import describe_state
from tidecast.wire import Event, Layout


def test_a_series_is_described_from_its_present_partition_after_a_repartition(healthy: Installation) -> None:
    """The former partition keeps a state that is never written again; its readings and events still count."""
    happen(healthy.redis, Event("stuck", "the value is 1", "a"))
    layout = Layout((1, 4))
    present = layout.keys_for("a")
    healthy.redis.set("partitions", layout.encode())
    healthy.redis.copy("state", present.state)
    healthy.redis.hset("state", "a", b"stale")
    healthy.redis.xadd(present.readings, {"series": "a", "value": 2, "ts": healthy.began_ms + 9000})

    facts = facts_of("a", healthy.settings, describe_state)

    assert layout.partition_of("a") == facts["partition"]
    assert 3 == facts["state"]["readings"]
    assert {"answered": 3, "late": 0, "duplicate": 0, "dead": 0, "waiting": 1} == facts["readings"]
    assert facts["forecast"]
    assert "stuck" == facts["events"][-1]["kind"]


def test_a_recent_dead_letter_of_a_former_partition_is_found(healthy: Installation) -> None:
    """A repartition does not hide that readings were rejected just before."""
    healthy.push(4000, "high")
    healthy.answer()
    before = [finding for finding in healthy.examine() if finding.check == "dead"]
    healthy.redis.set("partitions", "1,2")
    after = [finding for finding in healthy.examine() if finding.check == "dead"]
    assert before == after
    assert "readings rejected within the hour (stream dead): 1 (" in after[0].problem


def test_foreign_entries_in_the_streams_do_not_hide_a_series(healthy: Installation) -> None:
    """They are left out: the doctor is called when something is wrong."""
    change = Event("level_changed", "from 1 to 2", "a", facts={"old": 1.0, "new": 2.0, "ts": healthy.began_ms})
    happen(healthy.redis, change)
    healthy.redis.xadd("events", {"series": "a", "kind": "level_changed", "detail": "no levels"})
    healthy.redis.xadd("events", {"series": "a", "kind": "level_changed"})
    healthy.redis.xadd("dead", {"original.series": "a", "reason": b"\xff", "detail": "n/a"})

    facts = facts_of("a", healthy.settings, describe_state)

    assert {"old": 1.0, "new": 2.0, "since": healthy.began_ms} == facts["level_changed"]
    assert any(line.startswith("level: changed from 1 to 2") for line in sentences(facts))
    assert {"\\xff": 1} == facts["dead"]["reasons"]
