"""Read forecasts and answered readings from Redis as frames."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidecast.errors import MissingAnswers, SettingsError
from tidecast.files.history import Histories, History
from tidecast.settings import Settings, load_settings
from tidecast.tools.frames import arguments
from tidecast.tools.frames import columns as forecast_columns
from tidecast.tools.frames.arguments import Time
from tidecast.tools.frames.building import CALLED, DECORATED, SHOWN, import_pandas, in_order, moments, timestamp
from tidecast.tools.frames.stored_forecasts import RedisOrUrl, connected, stored_forecasts
from tidecast.tools.own_packages import own_packages
from tidecast.wire import Forecast

if TYPE_CHECKING:
    import pandas as pd

MATCHES = ("time", "next")


def read_forecasts(
    redis_or_url: RedisOrUrl = None,
    series: str | Iterable[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    match: Literal["time", "next"] = "time",
    details: bool = False,
    **given: Any,
) -> "pd.DataFrame":
    """Read the forecasts in Redis, each with its actual reading.

    Args:
        redis_or_url: a connection or an address; by default the address from `tidecast.toml` or TIDECAST_REDIS_URL.
        series: one name or several; None: all series.
        start: the first forecast time to return; None: from the oldest.
        end: the forecast time before which to stop; None: to the newest.
        match: `time` takes as y the reading at exactly the forecast time. `next` takes the series' next reading at any
            time, as a worker does for scoring; use it for series with irregular times.
        details: also return `id`, `origin` (the time of the reading that caused the forecast), `level`, `model`,
            `kind` and `filled`; `error`, `anomaly_score` and `anomaly` of that reading; and further intervals and
            steps, if any. The wire format describes them.
        given: other settings by name, such as `namespace` or `partitions`.

    Returns:
        A row for each forecast, by series and time: `unique_id`, `ds` (the forecast time), `y` (NaN before the reading
        arrives), `yhat`, `yhat_lower`, `yhat_upper` (NaN while errors are unknown). A series' first forecast has no
        time yet and is left out.

    Raises:
        SettingsError: an argument or a setting is invalid, or Redis stores no valid number of partitions.
        TidecastError: pandas is not installed.
        RedisError: Redis does not answer, or refuses.

    Warns:
        MissingAnswers: a named series has no data.
    """
    query = _query(redis_or_url, series, start, end, given)
    forecasts = _stored(redis_or_url, query, match)
    frame = _forecast_frame(forecasts, match, details=details)
    _warn_of_unknown(query.series, frame["unique_id"], "forecast", CALLED)
    return _between(frame[frame["ds"].notna()], query)


@own_packages()
def read_readings(
    redis_or_url: RedisOrUrl = None,
    series: str | Iterable[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    target: str | None = None,
    features: Sequence[str] = (),
    history: Path | str | None = None,
    **given: Any,
) -> "pd.DataFrame":
    """Read the readings that workers have answered, as training uses them: without dead, late or repeated ones.

    Args:
        redis_or_url: as in `read_forecasts`.
        series: one name or several; None: all series.
        start: the first time to return; None: from the oldest.
        end: the time before which to stop; None: to the newest.
        target: the field that becomes `y`; None: the setting `series.target`.
        features: further fields to return as columns; `("all",)`: every field whose values were always numbers.
        history: the directory of `tidecast archive`; archived readings are read too.
        given: other settings by name.

    Returns:
        A row for each reading, by series and time: `unique_id`, `ds`, `y` and a column for each feature.

    Raises:
        SettingsError: an argument or a setting is invalid, or Redis stores no valid number of partitions.
        HistoryError: the archive is missing or damaged, or a requested field occurs in no reading.
        TidecastError: the extra `train` is not installed.
        RedisError: Redis does not answer, or refuses.

    Warns:
        MissingAnswers: a named series has no data.
    """
    query = _query(redis_or_url, series, start, end, given)
    recorded = _recorded(redis_or_url, query, target, features, history)
    frame = _reading_frame(recorded.accepted)
    _warn_of_unknown(query.series, frame["unique_id"], "reading", DECORATED, recorded.notes)
    return _between(frame, query)


@dataclass(frozen=True, slots=True)
class _Query:
    """The checked arguments that readings and forecasts are selected by."""

    settings: Settings
    series: frozenset[str] | None = None  # None: all
    first_ms: int | None = None  # epoch milliseconds; None: from the oldest
    last_ms: int | None = None  # the time before which to stop; None: to the newest


def _query(redis_or_url: RedisOrUrl, series: Any, start: Any, end: Any, given: Mapping[str, Any]) -> _Query:
    """Check that pandas is installed, and check the arguments."""
    import_pandas()
    settings = load_settings(redis_url=redis_or_url if isinstance(redis_or_url, str) else None, **given)
    return _Query(settings, arguments.series_names(series), *arguments.bounds_ms(start, end))


def _stored(redis_or_url: RedisOrUrl, query: _Query, match: str) -> list[Forecast]:
    if match not in MATCHES:
        raise SettingsError(f"match is {match!r}: use {' or '.join(MATCHES)}")
    with connected(redis_or_url, query.settings) as connection:
        return list(stored_forecasts(connection, query.settings, query.series))


def _recorded(redis_or_url: RedisOrUrl, query: _Query, target: Any, features: Any, history: Any) -> Histories:
    from trainer.data.recorded import RecordedQuery, check_sent, read_recorded

    fields = arguments.columns("features", features)
    with connected(redis_or_url, query.settings) as connection:
        recorded_query = RecordedQuery(
            series=tuple(query.series or ()),
            target=arguments.column("target", target),
            features=fields,
            archive=arguments.folder("history", history),
        )
        recorded = read_recorded(query.settings, recorded_query, connection)
    check_sent(fields, recorded)
    return recorded


def _forecast_frame(forecasts: Sequence[Forecast], match: str, *, details: bool) -> "pd.DataFrame":
    """Return a row for each forecast, also for those without a time."""
    matched = forecast_columns.by_time if match == "time" else forecast_columns.by_order
    columns = forecast_columns.columns(forecasts, matched(forecasts))
    if details:
        columns |= forecast_columns.details(forecasts)
    frame: pd.DataFrame = import_pandas().DataFrame(columns)
    for name in columns:
        if name in ("ds", "origin") or name.startswith("ts_"):  # the times of further steps
            frame[name] = moments(columns[name])
    if details:
        frame["model"] = frame["model"].astype("Int64")
        frame["anomaly"] = frame["anomaly"].astype("boolean")
    return frame


def _reading_frame(histories: Sequence[History]) -> "pd.DataFrame":
    pandas = import_pandas()
    frames = [pandas.DataFrame({"unique_id": [], "ds": moments([]), "y": []})]
    for history in histories:
        _, *others = history.features
        values = dict(zip(("y", *others), history.values.T, strict=True))
        frames.append(pandas.DataFrame({"unique_id": history.series, "ds": moments(history.ts.tolist()), **values}))
    frame: pd.DataFrame = pandas.concat(frames[1:] or frames, ignore_index=True)
    return frame


def _warn_of_unknown(
    selected: frozenset[str] | None, series: Iterable[str], what: str, level: int, notes: Sequence[str] = ()
) -> None:
    """Warn the caller of named series without data, and of a frame that is empty because all readings are unusable."""
    known = set(series)
    messages = [
        f"there is no {what} of series {name!r}: check its name" for name in sorted((selected or set()) - known)
    ]
    if not known:
        messages += notes
    if messages:
        warnings.warn("; ".join(messages[:SHOWN]), MissingAnswers, stacklevel=level)


def _between(frame: "pd.DataFrame", query: _Query) -> "pd.DataFrame":
    """Return the rows between the times of a query, sorted by series and time."""
    if query.first_ms is not None:
        frame = frame[frame["ds"] >= timestamp(query.first_ms)]
    if query.last_ms is not None:
        frame = frame[frame["ds"] < timestamp(query.last_ms)]
    return in_order(frame)
