"""Forecasts, readings and backtests as pandas frames, in the columns of forecasting libraries: unique_id, ds, y, yhat.

pandas comes with the extra `train`. Times are `datetime64[ms, UTC]`, values in the series' own unit.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import redis
import redis.client

from tidecast import presets
from tidecast.client import check_partitions
from tidecast.connection import connect
from tidecast.errors import HistoryError, SettingsError, TidecastError
from tidecast.own_packages import own_packages
from tidecast.settings import Settings, load_settings
from tidecast.spec import Spec
from tidecast.wire import Forecast, common_keys, keys_of

if TYPE_CHECKING:
    import pandas as pd

    from trainer.history import History

COLUMNS = ("unique_id", "ds", "y", "yhat", "yhat_lower", "yhat_upper")
DETAILS = ("id", "origin", "level", "model", "kind", "filled")
PAGE = 10_000  # entries of one round trip
Time = str | datetime | int  # ISO-8601, a datetime, or epoch milliseconds; without an offset UTC
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
        SettingsError: a setting is invalid, or Redis was set up for another number of partitions.
        TidecastError: pandas is not installed.
        RedisError: Redis is away, or refuses.
    """
    pd = _pandas()
    settings, wanted = _settings(redis_or_url, given), _names(series)
    if match not in ("time", "next"):
        raise SettingsError(f"match is {match!r}: use time or next")
    with _connected(redis_or_url, settings) as connection:
        made = list(_forecasts(connection, settings, wanted))
    columns = _columns(made, _by_time(made) if match == "time" else _by_order(made))
    if details:
        columns |= _details(made)
    frame = pd.DataFrame(columns)
    for name in {"ds", "origin"} & set(columns):
        frame[name] = _moments(columns[name])
    if details:
        frame["model"] = frame["model"].astype("Int64")
    return _between(frame[frame["ds"].notna()], start, end)


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
        SettingsError: a setting is invalid, or Redis was set up for another number of partitions.
        HistoryError: the archive is missing or damaged.
        TidecastError: the extra `train` is not installed.
        RedisError: Redis is away, or refuses.
    """
    pd = _pandas()
    from trainer.recorded import read_recorded

    settings = _settings(redis_or_url, given)
    with _connected(redis_or_url, settings) as connection:
        found = read_recorded(
            settings,
            tuple(_names(series) or ()),
            target=target,
            features=features,
            history=Path(history) if history is not None else None,
            connection=connection,
        ).found
    frames = [_frame_of(one) for one in found] or [pd.DataFrame({"unique_id": [], "ds": _moments([]), "y": []})]
    return _between(pd.concat(frames, ignore_index=True), start, end)


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
        frame: a row for each reading: `unique_id`, `ds`, `y`, as any file that `tidecast train` reads; without
            `unique_id` it is one series. Times without an offset are UTC.
        test_size: the share of the newest readings; they touch neither training nor scaling nor the season.
        target: the column to forecast; None: `y`, `value`, or the only one with numbers.
        features: further columns to use; `("all",)`: every one with numbers.
        preset: what the networks see and learn: `default`, `tutorial`, `revin`, `skip` or `seasonal`; None: `default`.
        given: other settings by name, such as `train={"epochs": 4}` or `series={"minimum": 0}`.

    Returns:
        A row for each reading of the test part, by series and time, in the columns of `read_forecasts` and `kind`, the
        expert that weighed most. Nothing is published.

    Raises:
        HistoryError: the frame cannot be read, or no series has a test part.
        SettingsError: a setting is invalid.
        TidecastError: the extra `train` is not installed.
    """
    pd = _pandas()
    from tidecast.backtest import backtest

    settings = load_settings(**given)
    histories = [h for h in _histories(frame, target, features) if int(test_size * len(h)) > 0]
    if not histories:
        raise HistoryError("no series is long enough to be split: bring more readings, or a larger test_size")
    rows = [
        (series, row.ts, row.y, f.yhat, f.yhat_lower, f.yhat_upper, f.kind)
        for series, settled in backtest(histories, test_size, settings, Spec(**presets.preset(preset))).settled.items()
        for row in settled
        for f in (row.forecast,)
    ]
    answered = pd.DataFrame(rows, columns=[*COLUMNS, "kind"])
    answered["ds"] = _moments(answered["ds"].tolist())
    return _between(answered, None, None)


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as exc:
        raise TidecastError("frames need pandas: `pip install 'tidecast[train]'` brings it") from exc
    return pd


def _settings(redis_or_url: Found, given: Mapping[str, Any]) -> Settings:
    return load_settings(redis_url=redis_or_url if isinstance(redis_or_url, str) else None, **given)


def _names(series: str | Iterable[str] | None) -> frozenset[str] | None:
    if series is None:
        return None
    names = frozenset([series] if isinstance(series, str) else series)
    if not names:
        raise SettingsError("series is empty: name at least one, or leave it out for all")
    return names


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
        first = "-"
        while newest:  # what comes meanwhile is not waited for
            page = cast("list[Any]", connection.xrange(stream, first, newest[0][0], count=PAGE))
            chosen = page if names is None else (entry for entry in page if entry[1].get(b"series") in names)
            yield from (Forecast.decode(*entry) for entry in chosen)
            if len(page) < PAGE:
                break
            first = "(" + page[-1][0].decode()


def _by_time(made: Sequence[Forecast]) -> list[float]:
    """The reading of exactly the time of each forecast; NaN where there is none."""
    readings = {(f.series, f.origin): f.y for f in made}
    return [math.nan if f.ts is None else readings.get((f.series, f.ts), math.nan) for f in made]


def _by_order(made: Sequence[Forecast]) -> list[float]:
    """The reading that came next in each forecast's series; NaN for the newest."""
    following: dict[str, float] = {}
    found = []
    for forecast in reversed(made):
        found.append(following.get(forecast.series, math.nan))
        following[forecast.series] = forecast.y
    return found[::-1]


def _columns(made: Sequence[Forecast], y: Sequence[float]) -> dict[str, Any]:
    return {
        "unique_id": [f.series for f in made],
        "ds": [f.ts for f in made],
        "y": y,
        "yhat": [f.yhat for f in made],
        "yhat_lower": [_number(f.yhat_lower) for f in made],
        "yhat_upper": [_number(f.yhat_upper) for f in made],
    }


def _details(made: Sequence[Forecast]) -> dict[str, Any]:
    named = [dict(f.more) for f in made]
    further = dict.fromkeys(name for one in named for name in one)
    return {name: [getattr(f, name) for f in made] for name in DETAILS} | {
        name: [one.get(name, math.nan) for one in named] for name in further
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _moments(ms: Sequence[int | None]) -> Any:
    """Epoch milliseconds as a column of times."""
    pd = _pandas()
    return pd.Series(pd.array(ms, dtype="Int64")).astype("datetime64[ms]").dt.tz_localize(UTC)


def _between(frame: "pd.DataFrame", start: Time | None, end: Time | None) -> "pd.DataFrame":
    """The rows from `start` to before `end`, by series and time."""
    for bound, keeps in ((start, "__ge__"), (end, "__lt__")):
        if bound is not None:
            frame = frame[getattr(frame["ds"], keeps)(_moment(bound))]
    return frame.sort_values(["unique_id", "ds"], kind="stable", ignore_index=True)


def _moment(bound: Time) -> Any:
    pd = _pandas()
    try:
        found = pd.Timestamp(bound, unit="ms") if isinstance(bound, int) else pd.Timestamp(bound)
    except (ValueError, TypeError) as exc:
        raise SettingsError(f"{bound!r} is no time: give ISO-8601, a datetime or epoch milliseconds") from exc
    return found.tz_localize(UTC) if found.tzinfo is None else found


def _frame_of(history: "History") -> "pd.DataFrame":
    import pandas as pd

    _, *others = history.features
    values = dict(zip(("y", *others), history.values.T, strict=True))
    return pd.DataFrame({"unique_id": history.series, "ds": _moments(history.ts.tolist()), **values})


def _histories(frame: "pd.DataFrame", target: str | None, features: Sequence[str]) -> Sequence["History"]:
    """What `tidecast train` would read from a file with these rows."""
    from trainer.history import read_history

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.parquet"
        frame.to_parquet(path, index=False)
        try:
            read = read_history(path, target=target, features=features)
        except HistoryError as exc:
            raise HistoryError(str(exc).replace(str(path), "the frame")) from exc
    if read.refused:
        first = read.refused[0]
        raise HistoryError(f"series {first.series!r}: {first.reason.replace(str(path), 'the frame')}")
    return read.found
