"""The recorded readings that are read are those that the worker accepted."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from redis import Redis

from tests.chaos.fuzz import CAP, PARTITIONS, Drawn, Oracle, drawn_readings, fuzz_keys, push_drawn
from tests.harness.servers.cluster import EmbeddedCluster
from tests.trainer.data.harness import TS, add, plain, reading
from tidecast.client import Client
from tidecast.connection import connect
from tidecast.connection.paging import pages_of, pair, successor
from tidecast.settings import Settings, load_settings
from tidecast.wire import Forecast, Layout, keys_of
from trainer.data.archiving import move
from trainer.data.recorded import RecordedQuery, read_recorded
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

MAX_SEQ = 18_446_744_073_709_551_615


def test_what_a_worker_answered_is_what_is_read(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Readings of every kind, drawn at random: each that was forecast, and no other; every refusal is counted."""
    named: dict[str, Any] = {"partitions": PARTITIONS, "series": {"max_series": CAP}, "store": tmp_path / "none"}
    given = load_settings(redis_url=settings.redis_url.get_secret_value(), **named)

    @hypothesis.settings(max_examples=20, derandomize=True, deadline=None, database=None)
    @hypothesis.given(st.lists(drawn_readings(), min_size=50, max_size=60))
    def check(drawn: list[Drawn]) -> None:
        redis.flushall()
        push_drawn(redis, Oracle(), drawn)
        make_worker(given, Health()).run(Stop(), burst=True)
        expected: dict[str, list[tuple[int, float]]] = defaultdict(list)
        dead = 0
        for keys in fuzz_keys():
            for entry in redis.xrange(keys.forecasts):  # type: ignore[union-attr] # the synchronous client
                forecast = Forecast.decode(*entry)
                expected[forecast.series].append((forecast.origin, forecast.y))
            dead += redis.xlen(keys.dead)
        recorded = read_recorded(given)
        assert dict(expected) == {
            forecast.series: list(zip(forecast.ts.tolist(), forecast.values[:, 0].tolist(), strict=True))
            for forecast in recorded.accepted
        }
        assert [str(dead)] == [note.split()[0] for note in recorded.notes] if dead else not recorded.notes

    check()


def test_only_committed_readings_are_read(settings: Settings, redis: Redis) -> None:
    """The readings beyond the offset may still become duplicates, or be lost."""
    assert () == read_recorded(settings).accepted
    add(redis, reading(1, 0), reading(2, 1))
    add(redis, reading(3, 2), commit=False)
    assert [("a", [0, 1], [[1.0], [2.0]])] == [plain(history) for history in read_recorded(settings).accepted]


def test_readings_have_the_present_names_of_their_series(settings: Settings, redis: Redis) -> None:
    """Those of `a` belong to `c`, its second new name, and those of `b` to nobody; later ones of both to new series."""
    settings.store.mkdir()
    endings = [("a", 2, "b"), ("b", 4, "c"), ("d", 5, None)]
    lines = [{"series": old, "version": None, "at_ms": TS + 1000 * at, "new": new} for old, at, new in endings]
    (settings.store / "moves.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = ("a", "d", "a", "a", "b", "b", "d")
    add(redis, *(reading(n, n, name) for n, name in enumerate(names)))
    histories = {name: values for name, _, values in map(plain, read_recorded(settings).accepted)}
    assert {"c": [[0.0], [2.0], [4.0]], "a": [[3.0]], "b": [[5.0]], "d": [[6.0]]} == histories


def test_a_partition_without_an_answer_holds_nothing(settings: Settings, redis: Redis) -> None:
    """A worker has come, and not yet answered."""
    add(redis, reading(1, 0), commit=False)
    redis.hset("offset", "last", "0-0")
    assert () == read_recorded(settings).accepted


def test_the_first_reading_of_a_time_counts_and_late_ones_are_dropped(settings: Settings, redis: Redis) -> None:
    """As in the worker's window; a note gives their number."""
    add(redis, *(reading(i, ts) for i, ts in enumerate([0, 2, 2, 1, 3, 0])), reading(9, 5, series="b"))
    first, second = read_recorded(settings).accepted
    assert ("a", [0, 2, 3], [[0.0], [1.0], [4.0]]) == plain(first)
    assert ("1 duplicate time: the first kept", "2 late readings: dropped") == first.notes
    assert ("b", [5], [[9.0]]) == plain(second)
    assert () == second.notes


def test_refused_readings_are_skipped_and_counted(settings: Settings, redis: Redis) -> None:
    """By the reasons of their dead letters."""
    add(redis, reading(1, 0), reading("nan", 1), reading(2, 2), {"value": 1}, reading("x", 3))
    recorded = read_recorded(settings)
    assert ("a", [0, 2], [[1.0], [2.0]]) == plain(recorded.accepted[0])
    assert ("3 readings that a worker refuses too (2 bad_value, 1 no_series): skipped",) == recorded.notes


def test_a_time_that_was_in_the_future_when_it_came_is_still_refused(settings: Settings, redis: Redis) -> None:
    """The time has passed since, but otherwise all readings sent until then would be late."""
    add(redis, reading(1, 0), reading(2, 40 * 86_400), reading(3, 2))
    recorded = read_recorded(settings, RecordedQuery(now_ms=TS + 100 * 86_400_000))
    assert [("a", [0, 2], [[1.0], [3.0]])] == [plain(history) for history in recorded.accepted]
    assert "1 future_ts" in recorded.notes[0]


def test_readings_without_a_time_have_their_ids(settings: Settings, redis: Redis) -> None:
    """Beside others that have one, and fields in any order."""
    add(redis, reading(1), reading(2, 1), {"value": 3, "series": "a", "ts": TS + 2000}, reading(4))
    assert [("a", [0, 1, 2, 3], [[1.0], [2.0], [3.0], [4.0]])] == [
        plain(history) for history in read_recorded(settings).accepted
    ]


def test_readings_without_a_time_are_all_read_in_the_order_of_their_ids(settings: Settings, redis: Redis) -> None:
    """Those of one millisecond, and those after a `ts` that was ahead of them, each a millisecond later."""
    ids = [f"{TS}-0", f"{TS}-1", f"{TS + 1}-0", f"{TS + 5}-0", f"{TS + 6}-0", f"{TS + 7}-0"]
    for n, (entry_id, ts) in enumerate(zip(ids, [None, None, None, TS + 8, None, TS + 9], strict=True)):
        redis.xadd("readings", {"series": "a", "value": n} | ({} if ts is None else {"ts": ts}), id=entry_id)
    make_worker(settings, Health()).run(Stop(), burst=True)
    answered = [Forecast.decode(*entry).origin - TS for entry in redis.xrange("forecasts")]
    (history,) = read_recorded(settings).accepted
    assert [0, 1, 2, 8, 9] == answered == (history.ts - TS).tolist()
    assert ("1 duplicate time: the first kept",) == history.notes


def test_readings_whose_ids_are_ahead_of_the_clock_are_not_learned_from(settings: Settings, redis: Redis) -> None:
    """The worker took its own clock, which nothing records: a guess would be learned as a time."""
    redis.xadd("readings", {"series": "a", "value": 1}, id=f"{TS}-0")
    redis.xadd("readings", {"series": "a", "value": 2, "ts": TS + 1000}, id=f"{9 * TS}-0")
    redis.xadd("readings", {"series": "a", "value": 3}, id=f"{9 * TS}-1")
    redis.hset("offset", "last", f"{9 * TS}-1")
    recorded = read_recorded(settings)
    assert [("a", [0, 1], [[1.0], [2.0]])] == [plain(history) for history in recorded.accepted]
    assert ["1 reading without a ts whose entry ids are ahead of the clock"] == [
        n.partition(":")[0] for n in recorded.notes
    ]


def test_a_time_in_another_field_is_refused_as_by_the_worker(settings: Settings, redis: Redis) -> None:
    """Beside readings of the same fields that have a `ts`."""
    add(redis, reading(1, 0, timestamp="x"), reading(2, timestamp="x"), reading(3, timestamp="x"), reading(4))
    recorded = read_recorded(settings)
    assert [("a", [0, 3], [[1.0], [4.0]])] == [plain(history) for history in recorded.accepted]
    assert ("2 readings that a worker refuses too (2 bad_ts): skipped",) == recorded.notes


def test_a_stream_that_was_begun_anew_is_read_once_it_is_answered(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    """Its ids are before the offset, and before those of the archive; nothing that waits is moved there."""
    add(redis, *(reading(n, n) for n in range(3)))
    assert 3 == move(settings, tmp_path, TS + 10_000)
    redis.delete("readings")
    for n in (5, 6):
        redis.xadd("readings", reading(n, n), id=f"{n}-0")
    assert 0 == move(settings, tmp_path, TS + 10_000)
    assert [("a", [0, 1, 2], [[0.0], [1.0], [2.0]])] == [
        plain(history) for history in read_recorded(settings, RecordedQuery(archive=tmp_path)).accepted
    ]
    redis.hset("offset", "last", "6-0")
    assert [("a", [0, 1, 2, 5, 6], [[0.0], [1.0], [2.0], [5.0], [6.0]])] == [
        plain(history) for history in read_recorded(settings, RecordedQuery(archive=tmp_path)).accepted
    ]


def test_a_span_and_some_series_are_enough(settings: Settings, redis: Redis) -> None:
    """By the time of arrival, and by name."""
    add(redis, *(reading(i, i, series="abc"[i % 3]) for i in range(9)))
    histories = read_recorded(settings, RecordedQuery(series=["c", "a", "z"], since_ms=TS + 3000)).accepted
    assert [("a", [3, 6], [[3.0], [6.0]]), ("c", [5, 8], [[5.0], [8.0]])] == [plain(history) for history in histories]


def test_a_series_has_those_of_the_features_that_it_was_sent(settings: Settings, redis: Redis) -> None:
    """A missing feature keeps its last value; a requested one that is not a number costs the reading."""
    add(
        redis,
        reading(1, 0, wind=5, rain=1, site="north"),
        reading(2, 1, rain=0),
        reading(3, 2, wind="calm"),
        reading(4, 3, wind=7),
        reading(5, 0, series="b", site="south"),
    )
    first, second = read_recorded(settings, RecordedQuery(features=["wind", "snow"])).accepted
    assert ("value", "wind") == first.features
    assert ("a", [0, 1, 3], [[1.0, 5.0], [2.0, 5.0], [4.0, 7.0]]) == plain(first)
    assert (("value",), ("b", [0], [[5.0]])) == (second.features, plain(second))
    (rain, *_) = read_recorded(settings, RecordedQuery(target="rain")).accepted
    assert (("rain",), ("a", [0, 1], [[1.0], [0.0]])) == (rain.features, plain(rain))


def test_all_features_are_the_fields_that_only_ever_held_numbers(settings: Settings, redis: Redis) -> None:
    """One text in a field costs this field, not the reading."""
    add(redis, reading(1, 0, wind=5, rain=1, site="x"), reading(2, 1, wind="calm", rain=2), reading(3, 0, "b", wind=4))
    first, second = read_recorded(settings, RecordedQuery(features=["all"])).accepted
    assert (("value", "rain"), ("a", [0, 1], [[1.0, 1.0], [2.0, 2.0]])) == (first.features, plain(first))
    assert (("value", "wind"), ("b", [0], [[3.0, 4.0]])) == (second.features, plain(second))


def test_more_readings_than_a_page_holds_are_all_read(settings: Settings, redis: Redis) -> None:
    """In their order, by series."""
    with redis.pipeline(transaction=False) as pipeline:
        for i in range(25_000):
            pipeline.xadd(
                "readings", {"series": f"s{i % 7}", "ts": TS + i, "value": i}, id=f"{TS + i // 3}-{i % 3 + 1}"
            )
        pipeline.execute()
    redis.hset("offset", "last", f"{TS + 24_999 // 3}-{24_999 % 3 + 1}")
    histories = read_recorded(settings).accepted
    assert [f"s{i}" for i in range(7)] == [history.series for history in histories]
    for i, history in enumerate(histories):
        assert np.array_equal(np.arange(i, 25_000, 7), history.values[:, 0])
        assert np.array_equal(TS + np.arange(i, 25_000, 7), history.ts)


def test_a_page_of_large_entries_has_fewer_of_them(redis: Redis) -> None:
    """About as many bytes as a page may hold, and at least one entry."""
    ids = add(redis, *(reading(1, i, note="x" * 10_000) for i in range(8)))
    pages = list(pages_of(redis, "readings", b"-", ids[-1], at_once=4, page_bytes=20_500))
    assert [4, 2, 2] == [len(page) for page in pages]
    assert ids == [entry_id for page in pages for entry_id, _ in page]


@pytest.mark.parametrize(("entry_id", "after"), [(b"5-9", b"5-10"), (b"5-%d" % MAX_SEQ, b"6-0")])
def test_the_id_after_an_id_is_the_least_above_it(entry_id: bytes, after: bytes) -> None:
    """As numbers, not as texts."""
    assert after == successor(entry_id)
    assert pair(entry_id) < pair(after)


def test_readings_from_before_a_repartition_are_read_first(settings: Settings, redis: Redis) -> None:
    """Each series has all its readings, and those that were routed since are not read twice."""
    layout = Layout((1, 3))
    redis.set("partitions", layout.encode())
    for n in range(8):
        for series in "abc":
            keys = keys_of() if n < 5 else layout.keys_for(series)
            redis.xadd(keys.readings, {"series": series, "value": n, "ts": 1000 * n}, id=f"{n + 1}-{ord(series)}")
            redis.hset(keys.offset, "last", "4-99" if n < 5 else f"{n + 1}-{ord(series)}")
    assert {series: [0, 1, 2, 3, 5, 6, 7] for series in "abc"} == {
        history.series: history.values[:, 0].tolist() for history in read_recorded(settings).accepted
    }


def test_all_partitions_of_a_cluster_are_read(redis_program: str, tmp_path: Path) -> None:
    """Wherever they are, and under their namespace; also after one has moved, and after all were archived."""
    named: dict[str, Any] = {"redis_cluster": True, "partitions": 4, "namespace": "plant"}
    with EmbeddedCluster(redis_program) as cluster, Client(cluster.url, **named) as client:
        given = load_settings(redis_url=cluster.url, **named)
        client.push_many([(f"s{i % 20}", float(i), TS + i) for i in range(100)])
        with connect(given) as redis:
            for partition in range(4):
                keys = keys_of(partition, 4, "plant")
                redis.hset(keys.offset, "last", redis.xrevrange(keys.readings, count=1)[0][0])
            expected = {history.series: plain(history) for history in read_recorded(given).accepted}
            assert {f"s{i}" for i in range(20)} == set(expected)
            readings = keys_of(0, 4, "plant").readings
            cluster.move(readings, (cluster.owner_of(readings) + 1) % 3)
            assert expected == {history.series: plain(history) for history in read_recorded(given).accepted}
            assert 100 == move(given, tmp_path, 2 * TS)
            assert 0 == redis.xlen(readings)
            read = read_recorded(given, RecordedQuery(archive=tmp_path))
            assert expected == {history.series: plain(history) for history in read.accepted}
