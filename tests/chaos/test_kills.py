"""The short version of the chaos run."""

from dataclasses import replace
from pathlib import Path

from redis import Redis

from tests.chaos.harness import kill_run, make_readings
from tests.chaos.verifier import Published, compare


def test_a_killed_worker_leaves_no_trace(tmp_path: Path) -> None:
    """Every entry, count and state equals that of a worker that was never killed."""
    report = kill_run(tmp_path, readings=2000, kills=3, seed=1)
    assert [] == report.violations.notes
    assert 0 == report.violations.total()
    assert report.bites > 0


def test_the_verifier_sees_every_kind_of_violation(redis: Redis) -> None:
    """A verifier that finds nothing in a broken run would prove nothing in a good one."""
    for i, fields in enumerate(make_readings(5, seed=0), 1):
        redis.xadd("forecasts", fields, id=f"{i}-1")  # type: ignore[arg-type] # bytes are fine
    redis.xadd("events", {"kind": "stuck", "reading": "5-1"})
    whole = Published.read(redis)
    a, b, c, *_ = whole.forecasts
    assert 1 == compare(whole, replace(whole, forecasts=whole.forecasts[1:])).missing
    assert 1 == compare(whole, replace(whole, forecasts=[a, *whole.forecasts])).duplicated
    assert 1 == compare(whole, replace(whole, forecasts=[b, a, c, *whole.forecasts[3:]])).disordered
    doubled = [*whole.events, whole.events[0]]
    assert 1 == compare(whole, replace(whole, events=doubled)).duplicated
    assert 1 == compare(whole, replace(whole, events=whole.events[1:])).missing
    altered = [(a[0], {**a[1], b"value": b"0"}), *whole.forecasts[1:]]
    assert 1 == compare(whole, replace(whole, forecasts=altered)).wrong_value
    assert 1 == compare(whole, replace(whole, states={b"x": b"y"})).wrong_window
