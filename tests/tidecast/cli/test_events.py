"""Events: both clients, `tidecast events` and `tidecast anomalies`."""

import asyncio
import json
from itertools import islice
from typing import Any

import pytest
from redis import Redis

from tests.harness.events import happen
from tests.harness.processes import run_command
from tidecast.client import AsyncClient, Client
from tidecast.client.contents import events_of
from tidecast.client.following import Patience, following
from tidecast.errors import SettingsError
from tidecast.settings import load_settings
from tidecast.wire import Event, Layout
from tidecast.wire.event_text import event_line

PROMOTED = Event("promoted", "beats version 2 by 4 %", "boiler-7", 3)
STARTED = Event("started", "the run due at 2026-03-01T03:00:00Z has started, try 1")
ANOMALY = Event(
    "anomaly",
    "84 is far above",
    "boiler-8",
    facts={"phase": "begins", "value": 84.0, "expected": 42.5, "score": 9250.0},
)
STUCK = Event("stuck", "12 for 4 h", "pump-1", facts={"value": 12.0, "duration_ms": 14_400_000})
ALL = (PROMOTED, ANOMALY, STARTED, STUCK)


def stored(url: str, *, asynchronous: bool, method: str = "events", partitions: int = 1, **options: Any) -> list[Event]:
    """Return the events that there are, by either client."""
    options = {"since": "0", "block_ms": 1, "stop_when_idle": True} | options
    if not asynchronous:
        with Client(url, partitions=partitions) as client:
            return list(getattr(client, method)(**options))

    async def read() -> list[Event]:
        async with AsyncClient(url, partitions=partitions) as client:
            return [event async for event in getattr(client, method)(**options)]

    return asyncio.run(read())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_events_of_all_partitions_come_in_the_order_of_their_times(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    """Although a read returns one stream after the other, and only a part of a long one."""
    monkeypatch.setattr("tidecast.client.following.AT_ONCE", 3)
    for number in range(20):
        partition = int(number in (2, 3, 11, 19))
        happen(redis, Event("drift", str(number), "a"), partition, 2, f"{number + 1}-0")
    details = [event.detail for event in stored(url, asynchronous=asynchronous, partitions=2)]
    assert [str(number) for number in range(20)] == details


def test_new_events_are_followed(url: str, redis: Redis) -> None:
    """From now on, in every partition."""
    happen(redis, STARTED, 0, 2)
    with Client(url, partitions=2) as client:
        live = client.events(block_ms=100)
        later = happen(redis, PROMOTED, 1, 2)
        (event,) = islice(live, 1)
        assert later == event
        assert event.id


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("events", {}, ALL),
        ("events", {"kinds": "stuck"}, (STUCK,)),
        ("events", {"kinds": ("started", "promoted")}, (PROMOTED, STARTED)),
        ("events", {"series": "boiler-*"}, (PROMOTED, ANOMALY)),
        ("events", {"series": ["boiler-7", "pump-1"], "kinds": ["stuck"]}, (STUCK,)),
        ("events", {"kinds": ()}, ()),
        ("anomalies", {}, (ANOMALY,)),
        ("anomalies", {"series": "pump-*"}, ()),
    ],
)
def test_events_are_chosen_by_kind_and_series(
    url: str, redis: Redis, method: str, options: dict[str, Any], expected: tuple[Event, ...], *, asynchronous: bool
) -> None:
    """A program that is interested in one machine reads nothing else."""
    for event in ALL:
        happen(redis, event)
    assert list(expected) == stored(url, asynchronous=asynchronous, method=method, **options)


def test_the_position_moves_past_events_that_are_not_wanted() -> None:
    """After a lost connection they are not read again."""
    patience = Patience(1, stop_when_idle=True, give_up_s=None)
    course = following(load_settings(), "events", "0", events_of("stuck", None), patience)
    course.follow(Layout())
    course.took([(b"events", [(b"5-0", {b"kind": b"drift", b"detail": b""})])], 10)
    assert (False, {"events": "5-0"}) == (course.has_next(), course.position)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": "anomly"}, "kinds has 'anomly', which does not exist: did you mean 'anomaly'?"),
        ({"series": [1]}, "series has 1: give texts"),
    ],
)
def test_a_kind_that_does_not_exist_is_refused(options: dict[str, Any], sentence: str) -> None:
    """Otherwise a mistyped name would look like a quiet machine."""
    with Client() as client, pytest.raises(SettingsError, match=sentence):
        client.events(**options)


@pytest.mark.usefixtures("url")
def test_events_are_printed_as_lines_or_as_json(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """At most so many; with `--once` those that there are."""
    for event in ALL:
        happen(redis, event)
    ids = [entry_id.decode() for entry_id, _ in redis.xrange("events")]
    assert 0 == run_command("events", "--since", "0", "-n", "2")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("Z  promoted  boiler-7 v3  beats version 2 by 4 %")
    assert second.endswith("Z  anomaly begins  boiler-8  84, expected 42.5, once in 9,250 readings")
    assert 0 == run_command("anomalies", "--once", "--json")
    [printed] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = {"id": ids[1], "kind": "anomaly", "detail": ANOMALY.detail, "series": "boiler-8", "version": None}
    assert expected | dict(ANOMALY.facts) == printed
    assert 0 == run_command("events", "--once", "--kind", "stuck", "--series", "pump-*")
    assert capsys.readouterr().out.endswith("Z  stuck  pump-1  12, unchanged for 4h\n")
    assert 2 == run_command("events", "--kind", "struck")
    assert "did you mean 'stuck'?" in capsys.readouterr().err


@pytest.mark.usefixtures("url")
def test_a_mistyped_series_is_named(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise a person waits for alarms that cannot come; events of a deleted series are printed all the same."""
    redis.hset("state", "boiler-8", b"")
    happen(redis, STUCK)
    assert 0 == run_command("anomalies", "--once", "--series", "boilr-8", "--series", "boiler-*")
    assert ("", "tidecast: no series matches 'boilr-8': did you mean 'boiler-8'?\n") == capsys.readouterr()
    assert 0 == run_command("events", "--once", "--series", "pump-1")
    printed = capsys.readouterr()
    assert "stuck  pump-1" in printed.out
    assert "tidecast: no series matches 'pump-1': use one of 'boiler-8'\n" == printed.err


def test_a_line_says_when_what_and_of_whom_within_the_width() -> None:
    """The time comes from the entry's id; on a terminal no event takes two lines."""
    event = Event("series_created", "first reading received", "boiler-7", None, "1700000000000-0")
    line = "2023-11-14T22:13:20Z  series_created  boiler-7  first reading received"
    assert line == event_line(event) == event_line(event, 80)
    assert f"{line[:39]}…" == event_line(event, 40)


@pytest.mark.parametrize(
    ("kind", "facts", "figures"),
    [
        (
            "anomaly",
            {"phase": "ends", "value": 43.0, "expected": 42.5, "score": 1.0, "duration_ms": 1_020_000},
            "43, after 17m",
        ),
        ("anomaly", {"phase": "begins", "value": 84.0, "score": 63_659_400.0}, "84, once in 63.7 million readings"),
        ("silent", {"ts": 1_600_000_000_000, "duration_ms": 4522}, "no reading for 4s (at 2020-09-13T12:26:40Z)"),
        ("back", {"value": 20.5, "duration_ms": 23_000}, "20.5, after 23s"),
        (
            "level_changed",
            {"value": 63.1, "old": 57.39294, "new": 63.3, "duration_ms": 480_000},
            "from 57.3929 to 63.3, 8m ago",
        ),
        ("drift", {"value": 20.5}, "detail"),  # the value does not show what has changed
        ("model_degraded", {"value": 20.5}, "detail"),
    ],
)
def test_the_figures_of_a_line_are_those_that_matter_for_its_kind(
    kind: str, facts: dict[str, Any], figures: str
) -> None:
    """A reading's own time is there if it is not about that of the commit."""
    line = event_line(Event(kind, "detail", "pump-1", None, "1700000000000-0", facts))
    assert line.endswith(f"  pump-1  {figures}")
