"""Readings of every kind, drawn at random: each ends as an oracle predicts, through a real server and the real loop."""

import math
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from redis import Redis

from tests.chaos.fuzz import (
    CAP,
    PARTITIONS,
    Drawn,
    Oracle,
    drawn_readings,
    ended,
    fuzz_keys,
    fuzz_run,
    make_fuzz_store,
    push_drawn,
)
from tests.harness.connections import connected
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from tidecast.wire import Forecast
from worker.loop import Worker
from worker.metrics import Health
from worker.partition.stream import Stream
from worker.stop import Stop


def _worker(settings: Settings, store: Path, health: Health) -> Worker:
    given = load_settings(
        redis_url=settings.redis_url.get_secret_value(),
        store=store,
        partitions=PARTITIONS,
        series={"max_series": CAP},
        worker={"batch": 13},
    )
    redis = connected(given)
    return Worker(given, [Stream(redis, keys, given.worker) for keys in fuzz_keys()], ModelStore(store), health)


def test_any_readings_end_as_the_docs_say(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Dispositions as the oracle has them, in every partition; no step fails, and every forecast is finite."""
    store = make_fuzz_store(tmp_path)

    @hypothesis.settings(max_examples=20, derandomize=True, deadline=None, database=None)
    @hypothesis.given(st.lists(drawn_readings(), min_size=50, max_size=60))
    def check(drawn: list[Drawn]) -> None:
        redis.flushall()
        oracle = Oracle()
        health = Health()
        push_drawn(redis, oracle, drawn)
        _worker(settings, store, health).run(Stop(), burst=True)
        assert oracle.ended == ended(redis)
        assert 0.0 == health.registry.get_sample_value("tidecast_failures_total", {"kind": "step"})
        for keys, expected in zip(fuzz_keys(), oracle.ended, strict=True):
            made = [Forecast.decode(*entry) for entry in redis.xrange(keys.forecasts)]  # type: ignore[union-attr] # the synchronous client
            assert (expected["forecast"], expected["dead"]) == (len(made), redis.xlen(keys.dead))
            assert all(math.isfinite(forecast.yhat) for forecast in made)

    check()


def test_a_short_run_of_the_long_fuzz_finds_nothing(tmp_path: Path) -> None:
    """A worker process, the same readings again and again for the same seed."""
    report = fuzz_run(tmp_path, 1000, 0)
    assert (1000, 1000) == (report.readings, report.counts.total())
    assert (0, 0, 0) == (report.wrong, report.unfinished, report.crashes)
