"""A sensor that is frozen but for its electrical noise is stuck, though its value changes with each reading."""

from typing import Any

import numpy as np
import pytest

from tidecast.online.kernels.detection.flatlines import FEWEST, KNOWN_MS, LEAST_RUN, watch_flatline
from tidecast.online.kernels.detection.standstills import FLAT, PAUSES
from tidecast.online.kernels.detection.watch_facts import FACTS, STUCK, UNSTUCK
from tidecast.wire.state_format import WATCH

MINUTE_MS = 60_000.0
LONG = 400  # readings
NOISE = (50.1, 49.9)  # in turn


def known_watch() -> Any:
    """Return the watch of a series that has changed by 1 with each reading, a minute apart, for long enough."""
    watch = np.zeros(1, WATCH)[0]
    watch.value = 50.0
    watch.seen = KNOWN_MS / MINUTE_MS
    watch.step = MINUTE_MS
    watch.move = 1.0
    watch.changing = 1.0
    watch.longest_flat = 4
    return watch


def alarms(watch: Any, values: Any = NOISE) -> list[tuple[int, int]]:
    """Return the readings with an event and their bits, of `LONG` readings that take the values in turn."""
    facts = np.zeros(1, FACTS)[0]
    seen = []
    for i in range(LONG):
        y = values[i % len(values)]
        if bits := watch_flatline(watch, y, i * MINUTE_MS, facts):
            seen.append((i, bits))
        watch.value = y
        watch.seen += 1
    return seen


@pytest.mark.parametrize(("longest", "first"), [(4, LEAST_RUN), (100, round(PAUSES * 100))])
def test_a_value_that_hardly_changes_is_stuck_after_three_of_the_longest_runs(longest: int, first: int) -> None:
    """Once: a person is told of a frozen sensor, and a series that is often calm is given the time that it takes."""
    watch = known_watch()
    watch.longest_flat = longest
    assert [(first, STUCK)] == alarms(watch)
    assert watch.stuck == FLAT


@pytest.mark.parametrize(
    "change", [{"seen": FEWEST - LONG - 1}, {"step": 1000.0}, {"changing": 0.1}, {"move": 0.1}, {"stuck": 1.0}]
)
def test_a_series_that_is_new_or_usually_calm_is_not_stuck(change: dict[str, float]) -> None:
    """A machine may rest at night, a set point stands still, and noise of the usual size is not a fault."""
    watch = known_watch()
    for name, value in change.items():
        watch[name] = value
    assert not alarms(watch)


@pytest.mark.parametrize("values", [(50.0,), (50.0, 50.0, 50.0, 50.9), (49.6, 50.6)])
def test_only_changes_that_stay_near_count(values: tuple[float, ...]) -> None:
    """A value without any change has a rule of its own, and one that moves is not frozen."""
    assert not alarms(known_watch(), values)


def test_a_value_that_moves_again_ends_the_fault_and_a_second_one_is_found() -> None:
    """A long fault must not make the rule blind: it counts for no more than would raise the next alarm."""
    watch = known_watch()
    alarms(watch)
    facts = np.zeros(1, FACTS)[0]
    assert watch_flatline(watch, 57.0, LONG * MINUTE_MS, facts) == UNSTUCK
    assert (0, 10) == (watch.stuck, watch.longest_flat)
    assert facts.stuck_since == pytest.approx(0, abs=MINUTE_MS)
    watch.value = 57.0
    assert [(round(PAUSES * 10) + 1, STUCK)] == alarms(watch)
