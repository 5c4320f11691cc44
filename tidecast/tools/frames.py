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
SHOWN = 5  # series that a warning names
PAGE = 10_000  # entries of one round trip
MATCHES = ("time", "next")
CALLED = 3  # the stack level of a function's caller, for what warns within the function
DECORATED = CALLED + 1  # and where the function has a decorator
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
    """Read the forecasts that Redis keeps, each beside the reading that came later.

    Args:
        redis_or_url: a connection, or where Redis listens; by default what `tidecast.toml` or TIDECAST_REDIS_URL says.
        series: a name or several; None: every one.
        start: the first time forecast that is wanted; None: from the oldest.
        end: the time forecast before which it ends; None: to the newest.
        match: `time` takes for y the reading of exactly the time forecast; `next` the series' next reading, whenever
            it came, which is how a worker scores: for series whose readings come at odd times.
        details: also `id`, `origin` (the time of the reading that caused the forecast), `level`, `model`, `kind`,
            `filled`, and what further intervals and horizons there are; see the wire.
        given: other settings by name, such as `namespace` or `partitions`.

    Returns:
        A row for each forecast, by series and time: `unique_id`, `ds` (the time forecast), `y` (the reading; NaN where
        it has not come), `yhat`, `yhat_lower`, `yhat_upper` (NaN while no error is known). A series' first forecast has
        no time yet and is left out.

    Raises:
        SettingsError: an argument or a setting is invalid, or Redis was set up for another number of partitions.
        TidecastError: pandas is not installed.
        RedisError: Redis is away, or refuses.

    Warns:
        MissingAnswers: there is nothing of a series that was named.
    """
    pd = _pandas()
    settings = _settings(redis_or_url, given)
    wanted = arguments.series_names(series)
    first_ms, last_ms = arguments.bounds_ms(start, end)
    if match not in MATCHES:
        raise SettingsError(f"match is {match!r}: use {' or '.join(MATCHES)}")
    with _connected(redis_or_url, settings) as connection:
        made = list(_forecasts(connection, settings, wanted))
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
    _warn_of_unknown(wanted, frame["unique_id"], "forecast", CALLED)
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
    """Read the readings that workers have answered, as training sees them: nothing dead, late or repeated.

    Args:
        redis_or_url: as in `read_forecasts`.
        series: a name or several; None: every one.
        start: the first time that is wanted; None: from the oldest.
        end: the time before which it ends; None: to the newest.
        target: the field that becomes `y`; None: the setting `series.target`.
        features: further fields, each a column; `("all",)`: every one that was only ever sent numbers.
        history: the directory to which `tidecast archive` moves readings, to read those too.
        given: other settings by name.

    Returns:
        A row for each reading, by series and time: `unique_id`, `ds`, `y` and a column for each feature.

    Raises:
        SettingsError: an argument or a setting is invalid, or Redis was set up for another number of partitions.
        HistoryError: the archive is missing or damaged, or no reading has a field that was asked for.
        TidecastError: the extra `train` is not installed.
        RedisError: Redis is away, or refuses.

    Warns:
        MissingAnswers: there is nothing of a series that was named.
    """
    pd = _pandas()
    from trainer.data.recorded import check_sent, read_recorded

    settings = _settings(redis_or_url, given)
    wanted = arguments.series_names(series)
    first_ms, last_ms = arguments.bounds_ms(start, end)
    asked = arguments.columns("features", features)
    with _connected(redis_or_url, settings) as connection:
        read = read_recorded(
            settings,
            tuple(wanted or ()),
            target=arguments.column("target", target),
            features=asked,
            history=arguments.folder("history", history),
            connection=connection,
        )
    check_sent(asked, read)
    frames = [_frame_of(each) for each in read.found]
    frame = pd.concat(frames or [pd.DataFrame({"unique_id": [], "ds": _moments([]), "y": []})], ignore_index=True)
    _warn_of_unknown(wanted, frame["unique_id"], "reading", DECORATED, read.notes)
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
    """Train on the first part of each series of a frame, and answer the rest with the worker's own code.

    Args:
        frame: a pandas DataFrame, or what its own `to_pandas` turns into one: a row for each reading with `unique_id`,
            `ds` and `y`, in columns or in the index. Without `unique_id` it is one series. Times without an offset are
            UTC, a bool is 0 or 1.
        test_size: the share of the newest readings; they touch neither training nor scaling nor the season.
        target: the column to forecast; None: `y`, `value`, or the only one with numbers.
        features: further columns to use; `("all",)`: every one with numbers.
        preset: what the networks see and learn: `default`, `tutorial`, `revin`, `skip` or `seasonal`; None: `default`.
        given: other settings by name, such as `train={"epochs": 4}` or `series={"minimum": 0}`.

    Returns:
        A row for each reading of the test part, by series and time, in the columns of `read_forecasts` and `kind`, the
        expert that weighed most. Nothing is published.

    Raises:
        HistoryError: the frame cannot be read, it is not clear what is to be forecast, or no series has a test part.
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
    wanted: frozenset[str] | None, series: Iterable[str], what: str, level: int, notes: Sequence[str] = ()
) -> None:
    """Warn the caller of series that were not found, and of a frame that is empty because no reading can be used."""
    known = set(series)
    told = [f"there is no {what} of series {name!r}: check its name" for name in sorted((wanted or set()) - known)]
    if not known:
        told += notes
    if told:
        warnings.warn("; ".join(told[:SHOWN]), MissingAnswers, stacklevel=level)


def _warn_of_missing(refused: Sequence[Refusal], series: int) -> None:
    """Warn the caller of `backtest_frame` of series that were left out, or answered in part."""
    if not refused:
        return
    reasons = "; ".join(f"{refusal.series!r}: {refusal.reason}" for refusal in refused[:SHOWN])
    more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    count = len({refusal.series for refusal in refused})
    told = f"{count} of {series} series were left out or answered in part: {reasons}{more}"
    warnings.warn(told, MissingAnswers, stacklevel=DECORATED)


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
    """A connection whose replies are bytes, closed in the end unless it is the caller's."""
    if redis_or_url is None or isinstance(redis_or_url, str):
        with connect(settings) as connection:
            yield connection
        return
    if not isinstance(redis_or_url, redis.Redis) or redis_or_url.get_connection_kwargs().get("decode_responses"):
        raise SettingsError(
            "redis_or_url is neither an address nor a redis.Redis whose replies are bytes: give the address, "
            "and for a cluster redis_cluster=True too"
        )
    # The pool is the caller's, the client is not: how it reads replies may be changed.
    yield redis.Redis(connection_pool=redis_or_url.connection_pool)


def _forecasts(connection: redis.Redis, settings: Settings, wanted: frozenset[str] | None) -> Iterator[Forecast]:
    """The forecasts of these series, or of all, up to those of this moment, a series' own in their order."""
    names = None if wanted is None else {name.encode() for name in wanted}
    key, _ = common_keys(settings.namespace)
    check_partitions(key, cast("bytes | None", connection.get(key)), settings.partitions)
    for partition in range(settings.partitions):
        stream = keys_of(partition, settings.partitions, settings.namespace).forecasts
        newest = cast("list[Any]", connection.xrevrange(stream, count=1))
        for page in (
            _pages(connection, stream, newest[0][0]) if newest else ()
        ):  # what comes meanwhile is not waited for
            chosen = page if names is None else (entry for entry in page if entry[1].get(b"series") in names)
            yield from (Forecast.decode(*entry) for entry in chosen)


def _pages(connection: redis.Redis, stream: str, last: bytes) -> Iterator[list[tuple[bytes, Any]]]:
    """The entries of a stream up to `last`, as many at once as Redis sends."""
    first, portion = "-", Portion(PAGE)

    def ask(count: int) -> list[tuple[bytes, Any]]:
        return cast("list[tuple[bytes, Any]]", connection.xrange(stream, first, last, count=count))

    while page := shrinking(connection, portion, ask):
        portion.went_well()
        yield page
        first = "(" + page[-1][0].decode()


def _moments(ms: Sequence[int | None]) -> Any:
    """Epoch milliseconds as a column of times."""
    pd = _pandas()
    return pd.Series(pd.array(ms, dtype="Int64")).astype("datetime64[ms]").dt.tz_localize(UTC)


def _between(frame: "pd.DataFrame", first_ms: int | None = None, last_ms: int | None = None) -> "pd.DataFrame":
    """Return the rows from the first moment to before the last, by series and time."""
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
