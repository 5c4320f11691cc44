"""Values known ahead, from frames and from the settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from redis import Redis

from tests.worker.harness import NOW, add, new_worker, quick
from tidecast.errors import HistoryError, SettingsError
from tidecast.files.history import History
from tidecast.models.known.inputs import CALENDAR, HOLIDAY, KnownInputs
from tidecast.models.known.values import KnownValues
from tidecast.settings import Settings
from tidecast.settings.known import CalendarRule, KnownSettings
from trainer.data.known import known_history
from trainer.data.known_frame import read_known
from trainer.data.recorded import read_recorded
from trainer.data.source import Source, read_source

HOUR = 3_600_000
BEGIN = pd.Timestamp("2024-01-01T00:00Z")


def frame(**columns: Any) -> pd.DataFrame:
    """Return a frame of two hours."""
    return pd.DataFrame({"ds": ["2024-01-01 00:00", "2024-01-01 01:00"], **columns})


def of_times(*times: Any) -> pd.DataFrame:
    """Return a frame with a price for each of these times."""
    return pd.DataFrame({"ds": times, "price": 1.0})


def at(hour: int) -> int:
    """Return epoch milliseconds of an hour."""
    return int(BEGIN.timestamp() * 1000) + hour * HOUR


def seen(values: KnownValues, hour: int, as_of: int = 99, series: str = "a", name: str = "price") -> float:
    """Return one value."""
    return float(values.look_up(series, [name], np.array([at(hour)]), at(as_of), HOUR / 2)[0, 0])


def test_a_frame_gives_a_field_for_each_column_of_numbers() -> None:
    """Text is left out, and a cell without a number is a value that is not known."""
    values = read_known(frame(unique_id=["a", "b*"], price=[1.0, 2.0], plan=["7", ""], note=["x", "y"]))
    assert ("plan", "price") == values.fields("a")
    assert ("price",) == values.fields("b7")
    assert (1.0, 7.0) == (seen(values, 0), seen(values, 0, name="plan"))
    assert 2.0 == seen(values, 1, series="b7")
    assert 5.0 == seen(read_known(frame(price=[4.0, 5.0]).set_index("ds")), 1, series="any")
    assert 1.0 == seen(read_known(of_times(at(0) // 1000, at(1) // 1000)), 1)


def test_a_frame_may_say_since_when_a_value_is_known() -> None:
    """Of several values for one time the newest of that moment counts."""
    rows = frame(price=[1.0, 2.0], known_at=["2024-01-01 03:00", None])
    values = read_known(pd.concat([rows, rows.assign(ds=rows["ds"][0], price=[9.0, 8.0])]))
    assert 8.0 == seen(values, 0, as_of=2)
    assert 9.0 == seen(values, 0, as_of=3)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_give_what_frames_give(tmp_path: Path, settings: Settings, ending: str) -> None:
    """Fields, patterns, corrections and columns of the readings, with the local times of a zone."""
    readings = frame(unique_id="a", y=[1.0, 2.0], plan=[4.0, 5.0], wind=[0.0, 0.0])
    prices = frame(unique_id=["a", "b*"], price=[1.0, 2.0], plan=[7.0, np.nan], known_at=["2024-01-01 03:00", None])
    prices = pd.concat([prices, prices.assign(known_at=None, price=[9.0, 8.0])])
    files = []
    for name, table in (("readings", readings), ("prices", prices)):
        files.append(str(tmp_path / f"{name}.{ending}"))
        _ = table.to_csv(files[-1], index=False) if ending == "csv" else table.to_parquet(files[-1], index=False)
    (history,) = read_source(Source((files[0],), future=(files[1],)), settings).accepted
    assert history.known is not None
    values = history.known.values
    assert ("plan", "price") == values.fields("a")
    assert (9.0, 1.0) == (seen(values, 0, as_of=2), seen(values, 0, as_of=3))
    assert (7.0, 5.0) == (seen(values, 0, name="plan"), seen(values, 1, name="plan"))
    assert 8.0 == seen(values, 1, series="b7")
    berlin = Source((files[0],), future=(files[1],), time_zone="Europe/Berlin")
    (history,) = read_source(berlin, settings).accepted
    assert history.known is not None
    assert 9.0 == seen(history.known.values, -1, as_of=1)


def test_columns_of_a_file_of_known_values_that_are_not_used_are_named(tmp_path: Path, settings: Settings) -> None:
    """Text is not read: without a note it would seem that it helps too little."""
    (tmp_path / "a.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    (tmp_path / "p.csv").write_text(
        "ds;plan;price;known_at\n2024-01-02;5;low;2024-01-01\n2024-01-03;6;high;2024-01-01\n"
    )
    read = read_source(Source((str(tmp_path / "a.csv"),), future=(str(tmp_path / "p.csv"),)), settings)
    assert read.accepted[0].known.names == ("plan",)  # type: ignore[union-attr] # it has known values
    assert read.notes == (f"{tmp_path / 'p.csv'}: not used: column price",)


def test_a_file_of_known_values_with_a_bad_cell_is_refused_with_the_row(tmp_path: Path, settings: Settings) -> None:
    """A value that is not read would be missed only in the forecasts."""
    for cells, sentence in (
        ("x,2024-01-01", "row 3.*price 'x'"),
        ("1,tomorrow", "row 3.*known_at 'tomorrow' is not a time"),
        ("1,20240101", "row 3.*known_at '20240101' looks like a date: write 2024-01-01"),
    ):
        (tmp_path / "a.csv").write_text("ds,y\n2024-01-01,1\n")
        (tmp_path / "p.csv").write_text(f"ds,price,known_at\n2024-01-01,2,\n2024-01-02,{cells}\n")
        with pytest.raises(HistoryError, match=sentence):
            read_source(Source((str(tmp_path / "a.csv"),), future=(str(tmp_path / "p.csv"),)), settings)


def test_the_named_column_of_the_series_is_found_in_any_case(tmp_path: Path, settings: Settings) -> None:
    """Otherwise the values would be for all series, and each series would get those of another."""
    (tmp_path / "a.csv").write_text("Shop,ts,y\na,2024-01-01,1\nb,2024-01-01,1\n")
    (tmp_path / "p.csv").write_text("shop,ts,price\na,2024-01-01,2\nb,2024-01-01,3\n")
    source = Source((str(tmp_path / "a.csv"),), series_column="SHOP", future=(str(tmp_path / "p.csv"),))
    known = [history.known.values for history in read_source(source, settings).accepted if history.known]
    assert [2.0, 3.0] == [seen(values, 0, series=series) for values, series in zip(known, "ab", strict=True)]


def test_the_target_is_not_known_ahead(tmp_path: Path, settings: Settings) -> None:
    """A model would read the value that it must forecast, and have no error in any test."""
    readings = frame(y=[1.0, 2.0])
    future = frame(y=[3.0, np.nan], price=1.0)
    with pytest.raises(HistoryError, match="column 'y' of the frame of known values is the target, which is not known"):
        read_known(future, readings)
    assert ("y",) == read_known(future[["ds", "y"]], frame(load=[1.0, 2.0], y=5.0), target="load").fields("a")
    readings.to_csv(tmp_path / "a.csv", index=False)
    future.rename(columns={"y": "Y"}).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(HistoryError, match=r"column 'Y' of .*p\.csv is the target, .*: remove the column"):
        read_source(Source((str(tmp_path / "a.csv"),), future=(str(tmp_path / "p.csv"),)), settings)


def test_known_values_of_other_series_alone_are_refused(tmp_path: Path, settings: Settings) -> None:
    """They would be left out, and it would seem that they do not help."""
    (tmp_path / "a.csv").write_text("series,ts,y\na,2024-01-01,1\n")
    (tmp_path / "p.csv").write_text("series,ts,price\nA,2024-01-01,2\n")
    with pytest.raises(HistoryError, match="known values are for A, and the readings of a: use the same names"):
        read_source(Source((str(tmp_path / "a.csv"),), future=(str(tmp_path / "p.csv"),)), settings)


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_the_readings_give_the_past_of_a_future_frame(convert: Callable[[pd.DataFrame], Any]) -> None:
    """As other libraries have it: the past values are columns of the readings, the frame holds those ahead."""
    readings = frame(unique_id="a", y=[1.0, 2.0], price=[4.0, 5.0], wind=[0.0, 0.0])
    future = pd.DataFrame({"unique_id": "a", "ds": ["2024-01-01 02:00"], "price": [6.0]})
    values = read_known(convert(future), convert(readings))
    assert [4.0, 5.0, 6.0] == [seen(values, hour) for hour in range(3)]
    assert ("price",) == values.fields("a")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([1, 2], "the frame of known values is of type list"),
        (frame(note=["x", "y"]), "the frame of known values has no column of numbers among ds, note"),
        (pd.DataFrame({"price": [1.0]}), "the frame has no time column among price"),
        (of_times("2024-01-01", "soon"), "row 2 of the frame of known values: ds 'soon' is not a time"),
        (of_times("2024-01-01", None), "row 2 of the frame of known values has no ds"),
        (of_times("01/02/2024", "02/02/2024"), "row 1 of .*: ds '01/02/2024' is not a time: write ISO-8601"),
        (of_times("now", "2024-01-01"), "row 1 of .*: ds 'now' is not a time"),
        (of_times(20240101, 20240102), "row 1 of .*: ds '20240101' looks like a date: write 2024-01-01"),
        (frame(price=1.0, known_at="01/02/2024"), "row 1 of .*: known_at '01/02/2024' is not a time"),
        (frame(price=1.0, known_at=20240101), "row 1 of .*: known_at '20240101' looks like a date"),
        (frame(price=[1.0, np.inf]), "row 2 of .*: price 'inf' is infinite"),
        (frame(price=[1.0, 1e300]), "row 2 of .*: price '1e.300' is beyond 3.4e38"),
        (frame(price=1.0, Price=2.0), "the frame of known values has the column 'Price' twice"),
        (
            pd.concat([frame(shop=shop, price=shop + 0.5) for shop in (1, 2, 3)]),
            "4 of 6 times in the frame of known values repeat, and column 'shop' distinguishes the rows: call it "
            "'series'$",
        ),
    ],
)
def test_a_bad_frame_is_refused(given: Any, sentence: str) -> None:
    """As strictly as a file: a time that is read as another gives a forecast the value of another time."""
    with pytest.raises(HistoryError, match=sentence):
        read_known(given)


def history(days: int = 10) -> History:
    """Return daily readings from 2023-12-20 on."""
    ts = at(-12 * 24) + 24 * HOUR * np.arange(days)
    return History("shop-1", ("value",), ts, np.ones((days, 1)))


def test_holidays_come_from_the_country_of_the_series() -> None:
    """Epiphany is a holiday in Bavaria; the further dates of the rule count too."""
    rule = CalendarRule(
        pattern="shop-*", country="DE", subdivision="BY", zone="Europe/Berlin", dates=("2024-01-10",), calendar=True
    )
    known = known_history(history(), KnownValues(), KnownSettings(calendars=(rule,))).known
    assert known is not None
    assert (HOLIDAY, *CALENDAR) == known.names
    days = [*range(-8, -4), 0, 5, 9]  # from Christmas Eve on
    times = np.array([at(24 * day) for day in days])
    marks = KnownInputs((HOLIDAY,), HOUR, known.special).look_up(known.values, "shop-1", times, 0)[:, 0]
    assert [0, 1, 1, 0, 1, 1, 1] == marks.tolist()
    other = known_history(
        History("bus", ("value",), *(history().ts, history().values)), KnownValues(), KnownSettings(calendars=(rule,))
    )
    assert other.known is None


@pytest.mark.parametrize(("country", "subdivision"), [("XX", ""), ("DE", "ZZ")])
def test_a_country_without_a_list_is_refused(country: str, subdivision: str) -> None:
    """The message names the codes to write."""
    rules = KnownSettings(calendars=({"country": country, "subdivision": subdivision},))
    with pytest.raises(SettingsError, match=f"country '{country}' .* write the codes of ISO 3166"):
        known_history(history(), KnownValues(), rules)


@pytest.mark.settings(**quick())
def test_recorded_readings_come_with_the_stream_of_known_values(redis: Redis, settings: Settings) -> None:
    """A value is known since its entry; one that was loaded after its time always was, and `known_at` decides first."""
    for entry_id, second, price, more in (
        ("1000-0", 3, "1", {}),
        ("1500-0", 3, "2", {"known_at": "2000"}),
        ("9000-0", 4, "3", {}),
        ("9000-1", 5, "none", {}),
    ):
        redis.xadd("known", {"series": "a", "ts": 1000 * second, "price": price, **more}, id=entry_id)
    add(redis, 1, 2, 3, series=("a",))
    worker = new_worker(settings)
    worker.step(NOW)
    (history,) = read_recorded(settings).accepted
    assert history.known is not None
    assert ("price",) == history.known.names

    def price(second: int, as_of: int) -> float:
        times = np.array([1000 * second])
        return float(history.known.values.look_up("a", ["price"], times, as_of, 500)[0, 0]) if history.known else 0.0

    seen = [price(3, 999), price(3, 1000), price(3, 2000), price(4, 0), price(5, 9999)]
    np.testing.assert_array_equal([np.nan, 1, 2, 3, np.nan], seen)
    worker.leave()
