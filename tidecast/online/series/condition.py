"""The condition of a series: whether something is wrong with it now."""

from tidecast.online.series.state import SeriesState

SERIES_STATES = ("anomalous", "stuck", "silent", "degraded", "ok")  # the first that applies counts


def state_of(state: SeriesState) -> str:  # noqa: ARG001 - no condition is stored yet
    """Return which of `SERIES_STATES` a series is in."""
    return "ok"


def state_of_head(head: bytes) -> str:
    """Return the same from the stored head of a state.

    Raises:
        StateError: the head is of another version, or cut short.
    """
    return state_of(SeriesState.decode(head))
