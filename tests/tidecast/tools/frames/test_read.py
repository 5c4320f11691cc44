"""Frames of forecasts and readings against a real server: forecasts beside the later readings."""

import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from redis import Redis

import tidecast
from tests.harness.forecasts import sent
from tests.harness.patience import PATIENCE_S
from tidecast.client import Client
from tidecast.connection import connect
from tidecast.errors import HistoryError, MissingAnswers, SettingsError, StreamError, TidecastError
from tidecast.settings import Settings, load_settings
from tidecast.tools.frames import COLUMNS, read_forecasts, read_readings
from tidecast.wire import Forecast
from trainer.data.archiving import move
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

pytestmark = pytest.mark.settings(worker={"block": "1ms"})

MINUTE = 60_000
AT = 1_700_000_000_000 // MINUTE * MINUTE


def answered(settings: Settings, values: Mapping[str, list[float]], minutes: list[int] | None = None) -> None:
    """Push readings, a minute apart unless set otherwise, and let a worker answer them all."""
    with Client(settings.redis_url.get_secret_value()) as client:
        for series, numbers in values.items():
            times = minutes or list(range(len(numbers)))
            client.push_many((series, y, AT + MINUTE * t) for y, t in zip(numbers, times, strict=True))
    make_worker(settings, Health()).run(Stop(), burst=True)


def url(settings: Settings) -> str:
    """Return where the test's server listens."""
    return settings.redis_url.get_secret_value()


def moment(minute: int) -> pd.Timestamp:
    """Return the time so many minutes after the first reading."""
    return pd.Timestamp(AT + MINUTE * minute, unit="ms", tz=UTC)


def test_a_forecast_stands_beside_the_reading_that_came_later(settings: Settings, redis: Redis) -> None:
    """By series and time, in UTC; the newest forecast waits for its reading, and the first has no time yet."""
    answered(settings, {"b": [1.0, 2.0, 4.0], "a": [5.0, 6.0, 7.0, 8.0]})
    frame = read_forecasts(url(settings))
    assert list(COLUMNS) == list(frame.columns)
    assert ["a", "a", "a", "b", "b"] == frame["unique_id"].tolist()
    assert "datetime64[ms, UTC]" == str(frame["ds"].dtype)
    assert [moment(t) for t in (2, 3, 4, 2, 3)] == frame["ds"].tolist()
    assert [7.0, 8.0, None, 4.0, None] == [None if np.isnan(y) else y for y in frame["y"]]
    forecasts = [Forecast.decode(*entry) for entry in redis.xrange("forecasts")]
    assert sorted(f.yhat for f in forecasts if f.ts) == sorted(frame["yhat"])
    errors = [f.error for f in forecasts if f.error is not None and f.origin >= AT + 2 * MINUTE]
    assert sorted(errors) == pytest.approx(sorted((frame["y"] - frame["yhat"]).dropna()))


def test_series_and_times_choose_the_rows(settings: Settings, redis: Redis) -> None:  # noqa: ARG001 - it empties the server
    """From the first time to before the last; as text, as a datetime and as epoch milliseconds."""
    answered(settings, {"a": [1.0] * 6, "b": [2.0] * 6, "c": [3.0] * 6})
    frame = read_forecasts(url(settings), ["a", "c"], AT + 3 * MINUTE, datetime.fromtimestamp(AT / 1000 + 300, UTC))
    assert [("a", moment(3)), ("a", moment(4)), ("c", moment(3)), ("c", moment(4))] == list(
        zip(frame["unique_id"], frame["ds"], strict=True)
    )
    naive = moment(5).tz_localize(None).isoformat()
    assert ["b", "b"] == read_forecasts(url(settings), "b", start=naive)["unique_id"].tolist()
    with pytest.warns(MissingAnswers, match="there is no forecast of series 'd': check its name"):
        assert 0 == len(read_forecasts(url(settings), "d"))


def test_a_missing_step_leaves_its_forecast_without_a_reading(settings: Settings, redis: Redis) -> None:  # noqa: ARG001 - as above
    """By time it is not there; by order it is the reading that came next, as the worker scored."""
    answered(settings, {"a": [1.0, 2.0, 3.0, 4.0, 6.0]}, [0, 1, 2, 3, 5])
    by_time, by_order = (read_forecasts(url(settings), match=match) for match in ("time", "next"))  # type: ignore[arg-type] # both are right
    assert [moment(t) for t in (2, 3, 4, 6)] == by_time["ds"].tolist()
    assert [3.0, 4.0, -1.0, -1.0] == by_time["y"].fillna(-1).tolist()
    assert [3.0, 4.0, 6.0, -1.0] == by_order["y"].fillna(-1).tolist()


def test_details_tell_who_answered_and_the_further_horizons(settings: Settings, redis: Redis) -> None:  # noqa: ARG001 - as above
    """The model is a number or missing, the origin a time, each further field a column."""
    settings = settings.model_copy(update={"series": settings.series.model_copy(update={"horizon": 2})})
    answered(settings, {"a": [1.0, 2.0, 3.0]})
    frame = read_forecasts(url(settings), details=True)
    assert {"id", "origin", "level", "model", "kind", "filled", "yhat_2"} <= set(frame.columns)
    assert [moment(1), moment(2)] == frame["origin"].tolist()
    assert ("Int64", 2) == (str(frame["model"].dtype), frame["model"].isna().sum())
    assert np.isfinite(frame["yhat_2"]).all()
    assert [moment(3), moment(4)] == frame["ts_2"].tolist()
    assert [1.0, 1.0] == frame["error"].tolist()[-2:]
    assert "float64" == str(frame["anomaly_score"].dtype)
    assert "boolean" == str(frame["anomaly"].dtype)


def test_an_open_connection_serves_as_well_and_stays_open(settings: Settings, redis: Redis) -> None:
    """How it reads replies is the same afterwards."""
    answered(settings, {"a": [1.0, 2.0, 3.0]})
    before = redis.xrange("readings")
    pd.testing.assert_frame_equal(read_forecasts(url(settings)), read_forecasts(redis))
    pd.testing.assert_frame_equal(read_readings(url(settings)), read_readings(redis))
    assert before == redis.xrange("readings")


def test_more_forecasts_than_a_page_come_once(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds when the last page is full, and with an empty partition."""
    monkeypatch.setattr("tidecast.tools.frames.stored_forecasts.PAGE", 5)
    answered(settings, {"a": [float(t) for t in range(10)]})
    assert 9 == len(read_forecasts(redis)) == len(set(read_forecasts(redis)["ds"]))
    redis.flushall()
    assert list(COLUMNS) == list(read_forecasts(redis).columns)


def test_partitions_and_namespace_are_settings(settings: Settings, redis: Redis) -> None:
    """As for the client; another number of partitions than that in Redis does not count."""
    own = load_settings(redis_url=url(settings), namespace="plant", partitions=2, store=settings.store)
    with Client(url(settings), namespace="plant", partitions=2) as client:
        client.push_many((name, 1.0, AT + MINUTE * t) for name in "abcd" for t in range(3))
    make_worker(own, Health()).run(Stop(), burst=True)
    frame = read_forecasts(redis, namespace="plant", partitions=2)
    assert ["a", "a", "b", "b", "c", "c", "d", "d"] == frame["unique_id"].tolist()
    for read in (read_forecasts, read_readings):
        assert frame["unique_id"].unique().tolist() == sorted(set(read(redis, namespace="plant")["unique_id"]))


def test_readings_are_those_that_training_sees(settings: Settings, redis: Redis) -> None:
    """They come with their features, without dead, late or repeated ones, and with the archived ones."""
    with Client(url(settings)) as client:
        client.push("a", {"value": 1.0, "wind": 5.0}, AT)
        client.push("a", {"wind": 7.0}, AT + MINUTE)
        client.push("a", {"value": 2.0, "wind": 6.0}, AT + 2 * MINUTE)
        client.push("a", 9.0, AT)
        client.push("b", 3.0, AT + MINUTE)
    make_worker(settings, Health()).run(Stop(), burst=True)
    frame = read_readings(redis, features=["wind"])
    assert ["unique_id", "ds", "y", "wind"] == list(frame.columns)
    assert [("a", moment(0), 1.0), ("a", moment(2), 2.0), ("b", moment(1), 3.0)] == list(
        zip(frame["unique_id"], frame["ds"], frame["y"], strict=True)
    )
    assert [5.0, 6.0, -1.0] == frame["wind"].fillna(-1).tolist()
    assert ["b"] == read_readings(redis, "b")["unique_id"].tolist()
    assert [2.0, 3.0] == read_readings(redis, start=AT + MINUTE)["y"].tolist()
    redis.flushall()
    assert ["unique_id", "ds", "y"] == list(read_readings(redis).columns)


def test_archived_readings_are_read_too(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Readings that left Redis for files come first."""
    answered(settings, {"a": [1.0, 2.0]})
    assert 2 == move(settings, tmp_path / "history", 2**53)
    answered(settings, {"a": [3.0]}, [2])
    assert [3.0] == read_readings(redis)["y"].tolist()
    assert [1.0, 2.0, 3.0] == read_readings(redis, history=tmp_path / "history")["y"].tolist()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        *(({"series": wrong}, "series is") for wrong in ([], "", [""], 5, [5], [None])),
        *(
            ({argument: wrong}, f"{argument} .* is not a time: give ISO-8601|{argument}: ts")
            for argument in ("start", "end")
            for wrong in (
                "soon",
                "",
                "now",
                "2024-02-30",
                "2024",
                "2024-03-01112:00:00Z",
                1.5,
                np.nan,
                True,
                pd.NaT,
                [],
            )
        ),
        ({"start": 1_700_000_000}, "looks like seconds"),
        ({"end": 10**30}, "end"),
        (
            {"start": "2024-02-01", "end": "2024-01-01"},
            "start '2024-02-01' is later than end '2024-01-01': exchange them",
        ),
        ({"match": "best"}, "match is 'best': use time or next"),
        ({"partitions": 0}, "partitions"),
    ],
)
@pytest.mark.usefixtures("redis")
def test_what_cannot_be_asked_for_is_one_sentence(settings: Settings, given: dict[str, Any], sentence: str) -> None:
    """The message names the fault, the value and the remedy; of readings and of forecasts."""
    for read in (read_forecasts, read_readings)[: 1 if "match" in given else 2]:
        with pytest.raises(SettingsError, match=sentence):
            read(url(settings), **given)


@pytest.mark.parametrize(
    "bound",
    [
        AT + 3 * MINUTE,
        np.int64(AT + 3 * MINUTE),
        moment(3),
        moment(3).tz_convert("Asia/Tokyo"),
        moment(3).to_pydatetime(),
        moment(3).tz_localize(None).to_numpy(),
        str(moment(3)),
        moment(3).isoformat(),
    ],
)
@pytest.mark.usefixtures("redis")
def test_a_bound_is_a_time_of_any_kind(settings: Settings, bound: Any) -> None:
    """Epochs, datetimes, pandas' and NumPy's, text; without an offset UTC."""
    answered(settings, {"a": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert [4.0, 5.0] == read_readings(url(settings), start=bound)["y"].tolist()
    assert [1.0, 2.0, 3.0] == read_readings(url(settings), end=bound)["y"].tolist()
    assert 0 == len(read_readings(url(settings), start=bound, end=bound))


@pytest.mark.usefixtures("redis")
def test_a_bound_may_be_how_long_ago_it_is(settings: Settings) -> None:
    """As for the commands: `7d`, `12h`."""
    now_min = time.time_ns() // 60_000_000_000 - AT // MINUTE
    answered(settings, {"a": [1.0, 2.0, 3.0]}, [now_min - 300, now_min - 180, now_min - 60])
    assert [3.0] == read_readings(url(settings), start="2h")["y"].tolist()
    assert [2.0] == read_readings(url(settings), start="4h", end="2h")["y"].tolist()
    with pytest.raises(SettingsError, match="start '2h' is later than end '4h'"):
        read_readings(url(settings), start="2h", end="4h")


@pytest.mark.usefixtures("redis")
def test_what_there_is_nothing_of_is_warned_of(settings: Settings) -> None:
    """A mistyped series or target would look like a series without readings; an unknown field is an error."""
    answered(settings, {"a": [1.0, 2.0]})
    with pytest.warns(MissingAnswers, match="there is no reading of series 'b'"):
        assert 2 == len(read_readings(url(settings), ["a", "b"]))
    with pytest.warns(MissingAnswers, match="2 no_value"):
        assert 0 == len(read_readings(url(settings), target="valeu"))
    with pytest.raises(HistoryError, match="no reading has the field 'valeu': did you mean 'value'"):
        read_readings(url(settings), features=["valeu"])
    for wrong in (5, "", []):
        with pytest.raises(SettingsError, match="history is"):
            read_readings(url(settings), history=wrong)  # type: ignore[arg-type] # that is the point
    for read, level in ((read_forecasts, "forecast"), (read_readings, "reading")):
        with pytest.warns(MissingAnswers, match=f"no {level} of series 'c'") as caught:
            read(url(settings), "c")
        assert [__file__] == [warning.filename for warning in caught]


def test_a_connection_that_decodes_is_refused(settings: Settings) -> None:
    """Its replies are text, in which one bad entry would spoil a whole page."""
    with (
        Redis.from_url(url(settings), decode_responses=True, protocol=2) as decoding,
        pytest.raises(SettingsError, match="replies are bytes: give the address"),
    ):
        read_forecasts(decoding)


def test_an_entry_that_is_no_forecast_is_one_sentence(settings: Settings, redis: Redis) -> None:
    """No other program may write to the stream."""
    redis.xadd("forecasts", sent(Forecast("1-0", "a", 2000, 1.5, 1.0, 2.0, 0.9, 1000, None, "naive", 1.25)))
    redis.xadd("forecasts", {"series": "a"})
    with pytest.raises(StreamError, match="is not a forecast"):
        read_forecasts(connect(settings))


def test_without_pandas_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(TidecastError, match=r"pip install 'tidecast\[train\]'"):
        read_forecasts()


def test_the_package_imports_its_functions_only_when_asked() -> None:
    """A worker that starts pays for none of it; an unknown name is an AttributeError."""
    program = "import sys, tidecast; print(any(m.startswith(('redis', 'pandas', 'tidecast.')) for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert "False\n" == done.stdout
    assert tidecast.read_forecasts is read_forecasts
    assert tidecast.Client is Client
    assert set(tidecast.__all__) == {name for name in tidecast.__all__ if getattr(tidecast, name)}
    with pytest.raises(AttributeError, match="has no attribute 'read_future'"):
        _ = tidecast.read_future  # type: ignore[attr-defined] # that is the point
