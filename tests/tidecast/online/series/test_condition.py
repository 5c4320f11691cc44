"""The condition of a series, in memory and as it is stored."""

import pytest

from tidecast.online.series.condition import SERIES_STATES, state_of, state_of_head
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window

FIELDS = ("anomaly_ts", "stuck", "silent", "degraded")


@pytest.mark.parametrize("first", range(len(SERIES_STATES)))
def test_the_first_condition_that_applies_counts(first: int) -> None:
    """The order is that of SERIES_STATES, and a stored head gives the same."""
    state = SeriesState(("value",), Window(4, 1))
    for name in FIELDS[first:]:
        state.fields.watch[name] = 1
    assert SERIES_STATES[first] == state_of(state) == state_of_head(state.head())
