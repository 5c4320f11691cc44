"""A value that stands still at an end of its usual range is at rest, not stuck."""

import numpy as np
import pytest

from tidecast.online.kernels.detection.standstills import VARIED, watch_standstill
from tidecast.online.kernels.detection.watch_facts import FACTS, STUCK
from tidecast.wire.state_format import WATCH

LOWEST, HIGHEST = 2.0, 8.0
LONG = 50  # readings


@pytest.mark.parametrize(("value", "is_stuck"), [(LOWEST, False), (5.0, True), (HIGHEST, False)])
def test_a_series_that_rests_at_an_end_of_the_range_where_it_has_paused_is_not_stuck(
    value: float, is_stuck: bool
) -> None:
    """A closed valve and a full tank are not faults, at either end; the same standstill between them is one."""
    watch = np.zeros(1, WATCH)[0]
    watch.value = value
    watch.lowest = LOWEST
    watch.highest = HIGHEST
    watch.seen = VARIED
    watch.changing = 1.0
    watch.rising = 0.5
    watch.longest_run = 1.0
    facts = np.zeros(1, FACTS)[0]
    assert is_stuck == any(watch_standstill(watch, value, float(ts), facts) == STUCK for ts in range(LONG))
