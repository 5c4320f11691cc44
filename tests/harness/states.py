"""States as tests compare them: all that is remembered of a series, however it is spread over fields."""

from collections.abc import Mapping

from tidecast.online.series.state import SeriesState, decode_all


def whole(state: SeriesState) -> bytes:
    """Return a state with its rows as bytes, equal for equal states."""
    window = state.window
    filled = window.filled[window.end - window.length : window.end]
    bins = b"" if window.bins is None else window.bins.tobytes()
    return b"".join((state.head(), filled.tobytes(), window.rows.tobytes(), bins))


def all_whole(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the states in the fields of a partition's hash, by series."""
    return {series: whole(state) for series, state in decode_all(fields).items()}


def all_fields(state: SeriesState) -> dict[str, bytes]:
    """Return all fields of a state of series `a`, as if none had been stored yet."""
    return state.all_fields("a")
