"""The condition of a series: whether something is wrong with it now."""

from typing import Any

from tidecast.online.kernels.series_record import named
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.online.series.state import SeriesState
from tidecast.wire.state_format import StateHead


def state_of(state: SeriesState) -> str:
    """Return which of `SERIES_STATES` a series is in."""
    return _state(state.fields.watch)


def state_of_head(head: bytes) -> str:
    """Return the same from the stored head of a state.

    Raises:
        StateError: the head is of another version, or cut short.
    """
    return _state(named(StateHead.decode(head).record).watch)


def _state(watch: Any) -> str:
    conditions = (watch.anomaly_ts, watch.stuck, watch.silent, watch.degraded)
    return next((name for name, holds in zip(SERIES_STATES, conditions, strict=False) if holds), SERIES_STATES[-1])
