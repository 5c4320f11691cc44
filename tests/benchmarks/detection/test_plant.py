"""A scripted plant: its faults are reported in time, once each, by a real worker on a virtual clock."""

import pytest

from benchmarks.harness.detection.plant.run import EVENTS, Verdict, run_plant


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    """A week of three sensors with faults, a counter and a set point, and three sensors that freeze."""
    return run_plant(sensors=5, days=7)


@pytest.mark.parametrize("kind", EVENTS)
def test_every_fault_of_six_spreads_is_reported_in_time(verdict: Verdict, kind: str) -> None:
    """A spike at once, a silence within three steps, a frozen value before it moves again."""
    assert [] == [missed for missed in verdict.missed if missed[1].kind == kind]
    assert len(verdict.delays[kind]) == (6 if kind in ("spike", "frozen") else 3)


def test_a_step_is_reported_within_fifteen_readings(verdict: Verdict) -> None:
    """That is the median; a larger one is reported earlier."""
    assert verdict.figures()["step_delay_median"] <= 15


def test_false_alarms_are_rare(verdict: Verdict) -> None:
    """At most one in 5,000 readings of the sensors, of whatever kind; a counter and a set point are never stuck."""
    calm = ("counter", "set-point")
    of_sensors = [event for event in verdict.false_alarms if event.series not in calm]
    assert 5000 * len(of_sensors) <= verdict.readings * 3 / 5
    assert not [event for event in verdict.false_alarms if event.kind in ("stuck", "silent")]
