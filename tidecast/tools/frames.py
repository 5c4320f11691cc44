"""Forecasts, readings and backtests as pandas frames, in the columns of forecasting libraries: unique_id, ds, y, yhat.

pandas comes with the extra `train`. Times are `datetime64[ms, UTC]`, values in the series' own unit.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import redis
import redis.client

from tidecast.connection import connect
from tidecast.connection.partitions import check_partitions
from tidecast.connection.portion import Portion, shrinking
from tidecast.errors import HistoryError, MissingAnswers, SettingsError, TidecastError
from tidecast.files.history import History
from tidecast.files.refusal import Refusal
from tidecast.models import presets
from tidecast.models.spec import Spec
from tidecast.settings import Settings, load_settings
from tidecast.tools import forecast_columns
from tidecast.tools import frame_arguments as arguments
from tidecast.tools.frame_arguments import Time
from tidecast.tools.own_packages import own_packages
from tidecast.wire import Forecast, common_keys, keys_of

if TYPE_CHECKING:
    import pandas as pd


COLUMNS = ("unique_id", "ds", "y", "yhat", "yhat_lower", "yhat_upper")
SHOWN = 5  # most series that a warning names
PAGE = 10_000  # entries in one round trip
MATCHES = ("time", "next")
CALLED = 3  # the stack level of a public function's caller, for warnings raised by a helper of that function
DECORATED = CALLED + 1  # the same if the function has a decorator
Found = redis.Redis | str | None


def read_forecasts(
    redis_or_url: Found = None,
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
            `kind`, `filled`, and further intervals and horizons, if any; see the wire format.
        given: other settings by name, such as `namespace` or `partitions`.

    Returns:
        A row for each forecast, by series and time: `unique_id`, `ds` (the forecast time), `y` (the reading; NaN if it
        has not arrived), `yhat`, `yhat_lower`, `yhat_upper` (NaN while errors are unknown). A series' first forecast
        has no time yet and is left out.

    Raises:
        SettingsError: an argument or a setting is invalid, or Redis was set up for another number of partitions.
        TidecastError: pandas is not installed.
        RedisError: Redis is away, or refuses.

    Warns:
        MissingAnswers: a named series has no data.
    """
    pd = _pandas()
    settings = _settings(redis_or_url, given)
    selected = arguments.series_names(series)
    first_ms, last_ms = arguments.bounds_ms(start, end)
    if match not in MATCHES:
        raise SettingsError(f"match is {match!r}: use {' or '.join(MATCHES)}")
    with _connected(redis_or_url, settings) as connection:
        made = list(_forecasts(connection, settings, selected))
    columns = forecast_columns.columns(
        made, forecast_columns.by_time(made) if match == "time" else forecast_columns.by_order(made)
    )
    if details:
        columns |= forecast_columns.details(made)
    frame = pd.DataFrame(columns)
    for name in {"ds", "origin"} & set(columns):
        frame[name] = _moments(columns[name])
    if details:
        frame["model"] = frame["model"].astype("Int64")
    _warn_of_unknown(selected, frame["unique_id"], "forecast", CALLED)
    return _between(frame[frame["ds"].notna()], first_ms, last_ms)


@own_packages()
def read_readings(
    redis_or_url: Found = None,
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
        SettingsError: an argument or a setting is invalid, or Redis was set up for another number of partitions.
        HistoryError: the archive is missing or damaged, or a requested field occurs in no reading.
        TidecastError: the extra `train` is not installed.
        RedisError: Redis is away, or refuses.

    Warns:
        MissingAnswers: a named series has no data.
    """
    pd = _pandas()
    from trainer.data.recorded import check_sent, read_recorded

    settings = _settings(redis_or_url, given)
    selected = arguments.series_names(series)
    first_ms, last_ms = arguments.bounds_ms(start, end)
    fields = arguments.columns("features", features)
    with _connected(redis_or_url, settings) as connection:
        read = read_recorded(
            settings,
            tuple(selected or ()),
            target=arguments.column("target", target),
            features=fields,
            history=arguments.folder("history", history),
            connection=connection,
        )
    check_sent(fields, read)
    frames = [_frame_of(recorded) for recorded in read.found]
    frame = pd.concat(frames or [pd.DataFrame({"unique_id": [], "ds": _moments([]), "y": []})], ignore_index=True)
    _warn_of_unknown(selected, frame["unique_id"], "reading", DECORATED, read.notes)
    return _between(frame, first_ms, last_ms)


@own_packages()
def backtest_frame(
    frame: "pd.DataFrame",
    *,
    test_size: float = 0.2,
    target: str | None = None,
    features: Sequence[str] = (),
    preset: str | None = None,
    **given: Any,
) -> "pd.DataFrame":
    """Train on the first part of each series of a frame, and forecast the rest with the worker's code.

    Args:
        frame: a pandas DataFrame, or an object with `to_pandas`. It has a row for each reading with `unique_id`, `ds`
            and `y`, in columns or in the index. Without `unique_id` it is one series. Times without an offset are UTC,
            a bool is 0 or 1.
        test_size: the share of the newest readings; training, scaling and season detection do not use them.
        target: the column to forecast; None: `y`, `value`, or the only numeric column.
        features: further columns to use; `("all",)`: every numeric column.
        preset: the preset of the networks: `default`, `tutorial`, `revin`, `residual` or `seasonal`; None: `default`.
        given: other settings by name, such as `train={"epochs": 4}` or `series={"minimum": 0}`.

    Returns:
        A row for each reading of the test part, by series and time, with the columns of `read_forecasts` and `kind`,
        the expert with the largest weight. Nothing is published.

    Raises:
        HistoryError: the frame cannot be read, the target is not clear, or no series has a test part.
        SettingsError: an argument or a setting is invalid.
        TidecastError: the extra `train` is not installed.

    Warns:
        MissingAnswers: a series cannot be used, or has fewer answers than readings; the message gives the reason.
    """
    pd = _pandas()
    from tidecast.files.history import REPEATED
    from tidecast.tools.backtest import backtest, check_test_size
    from trainer.data.frames import read_frame

    check_test_size(test_size)
    spec = Spec(**presets.preset(preset))
    settings = load_settings(**given)
    columns = arguments.columns("features", features)
    read = read_frame(frame, arguments.column("target", target), columns, settings.series.target)
    if not read.found:
        first = read.refused[0]
        raise HistoryError(f"series {first.series!r}: {first.reason}")
    tested = backtest(read.found, test_size, settings, spec)
    rows = [
        (series, row.ts, row.y, f.yhat, f.yhat_lower, f.yhat_upper, f.kind)
        for series, settled in tested.settled.items()
        for row in settled
        for f in (row.forecast,)
    ]
    repeated = [Refusal(h.series, note) for h in read.found for note in h.notes if REPEATED in note]
    _warn_of_missing((*read.refused, *tested.refused, *repeated), len(read.found) + len(read.refused))
    answered = pd.DataFrame(rows, columns=[*COLUMNS, "kind"])
    answered["ds"] = _moments(answered["ds"].tolist())
    return _between(answered)


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


def _warn_of_missing(refused: Sequence[Refusal], series: int) -> None:
    """Warn the caller of `backtest_frame` about series that were left out or answered in part."""
    if not refused:
        return
    reasons = "; ".join(f"{refusal.series!r}: {refusal.reason}" for refusal in refused[:SHOWN])
    more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    count = len({refusal.series for refusal in refused})
    message = f"{count} of {series} series were left out or answered in part: {reasons}{more}"
    warnings.warn(message, MissingAnswers, stacklevel=DECORATED)


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as exc:
        raise TidecastError("frames need pandas: `pip install 'tidecast[train]'` brings it") from exc
    return pd


def _settings(redis_or_url: Found, given: Mapping[str, Any]) -> Settings:
    return load_settings(redis_url=redis_or_url if isinstance(redis_or_url, str) else None, **given)


@contextmanager
def _connected(redis_or_url: Found, settings: Settings) -> Iterator[redis.Redis]:
    """Yield a connection whose replies are bytes; close it at the end unless it is the caller's."""
    if redis_or_url is None or isinstance(redis_or_url, str):
        with connect(settings) as connection:
            yield connection
        return
    if not isinstance(redis_or_url, redis.Redis) or redis_or_url.get_connection_kwargs().get("decode_responses"):
        raise SettingsError(
            "redis_or_url is neither an address nor a redis.Redis whose replies are bytes: give the address, "
            "and for a cluster redis_cluster=True too"
        )
    # The pool is the caller's. The client is new, so that changes to its reply parsing do not affect the caller.
    yield redis.Redis(connection_pool=redis_or_url.connection_pool)


def _forecasts(connection: redis.Redis, settings: Settings, selected: frozenset[str] | None) -> Iterator[Forecast]:
    """Yield the present forecasts of the selected series, or of all; those of one series are in their order."""
    names = None if selected is None else {name.encode() for name in selected}
    key, _ = common_keys(settings.namespace)
    check_partitions(key, cast("bytes | None", connection.get(key)), settings.partitions)
    for partition in range(settings.partitions):
        stream = keys_of(partition, settings.partitions, settings.namespace).forecasts
        newest = cast("list[Any]", connection.xrevrange(stream, count=1))
        # Forecasts that arrive meanwhile are left out.
        for page in _pages(connection, stream, newest[0][0]) if newest else ():
            chosen = page if names is None else (entry for entry in page if entry[1].get(b"series") in names)
            yield from (Forecast.decode(*entry) for entry in chosen)


def _pages(connection: redis.Redis, stream: str, last: bytes) -> Iterator[list[tuple[bytes, Any]]]:
    """Yield the entries of a stream up to `last`, in pages of a size that Redis can send."""
    first = "-"
    portion = Portion(PAGE)

    def ask(count: int) -> list[tuple[bytes, Any]]:
        return cast("list[tuple[bytes, Any]]", connection.xrange(stream, first, last, count=count))

    while page := shrinking(connection, portion, ask):
        portion.went_well()
        yield page
        first = "(" + page[-1][0].decode()


def _moments(ms: Sequence[int | None]) -> Any:
    """Return epoch milliseconds as a column of times."""
    pd = _pandas()
    return pd.Series(pd.array(ms, dtype="Int64")).astype("datetime64[ms]").dt.tz_localize(UTC)


def _between(frame: "pd.DataFrame", first_ms: int | None = None, last_ms: int | None = None) -> "pd.DataFrame":
    """Return the rows from `first_ms` to before `last_ms`, sorted by series and time."""
    if first_ms is not None:
        frame = frame[frame["ds"] >= _timestamp(first_ms)]
    if last_ms is not None:
        frame = frame[frame["ds"] < _timestamp(last_ms)]
    return frame.sort_values(["unique_id", "ds"], kind="stable", ignore_index=True)


def _timestamp(ms: int) -> Any:
    return _pandas().Timestamp(ms, unit="ms", tz=UTC)


def _frame_of(history: History) -> "pd.DataFrame":
    import pandas as pd

    _, *others = history.features
    values = dict(zip(("y", *others), history.values.T, strict=True))
    return pd.DataFrame({"unique_id": history.series, "ds": _moments(history.ts.tolist()), **values})
