"""Frames of every form as histories: the id, the time and the target are found, or a message gives the reason."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidecast.errors import HistoryError
from trainer.data.frames import read_frame

ROWS = 48
DS = pd.date_range("2024-01-01", periods=ROWS, freq="h")
Y = np.random.default_rng(0).normal(size=ROWS).round(3)
FIRST_MS = 1_704_067_200_000  # 2024-01-01
NUMBERS = [1] * ROWS + [2] * ROWS
Frame = pd.DataFrame
Change = Callable[[Frame], Any]


def one() -> Frame:
    """Return a series without an id."""
    return Frame({"ds": DS, "y": Y})


def two() -> Frame:
    """Return two series, the second one higher by 10."""
    return pd.concat([one().assign(unique_id="a"), one().assign(unique_id="b", y=Y + 10)], ignore_index=True)


def read(frame: Any, target: str | None = None, features: tuple[str, ...] = ()) -> dict[str, list[float]]:
    """Return the target's values by series; all series are usable and begin at the same time."""
    histories = read_frame(frame, target, features)
    assert () == histories.refused
    assert {FIRST_MS} == {int(history.ts[0]) for history in histories.accepted}
    return {history.series: history.values[:, 0].tolist() for history in histories.accepted}


class Foreign:
    """A frame of another library, which converts itself."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def to_pandas(self) -> Any:
        """Return the pandas form."""
        if isinstance(self._frame, Exception):
            raise self._frame
        return self._frame


def as_index(*names: str, called: tuple[str | None, ...] | None = None) -> Change:
    """Move columns to the index, under other names if some are given."""
    return lambda frame: frame.set_index(list(names)).rename_axis(index=list(called or names))


def with_column(**columns: Any) -> Change:
    """Replace or add columns."""
    return lambda frame: frame.assign(**columns)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        as_index("unique_id"),
        as_index("unique_id", "ds"),
        as_index("ds", "unique_id"),
        as_index("unique_id", "ds", called=(None, None)),
        as_index("ds", "unique_id", called=(None, None)),
        as_index("unique_id", "ds", called=("shop", "when")),
        as_index("unique_id", "ds", called=("Unique_ID", "DS")),
        lambda frame: frame.assign(town="x").set_index(["unique_id", "town", "ds"]),
        lambda frame: frame.set_index(["unique_id", frame.groupby("unique_id").cumcount()]),
        lambda frame: frame.set_index(["unique_id", "ds"])["y"],
        lambda frame: frame.set_index(["unique_id", "ds"], drop=False),
        with_column(unique_id=lambda frame: frame["unique_id"].astype("category")),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame.sample(frac=1, random_state=0),
        lambda frame: frame.rename(columns={"unique_id": "series", "ds": "timestamp", "y": "value"}),
        lambda frame: frame.rename(columns=str.upper),
        lambda frame: frame.rename(columns={"unique_id": "id"}),
        lambda frame: frame.rename(columns={"unique_id": "\ufeffname\xa0"}),
        with_column(series="s", timestamp=pd.Timestamp("1999-01-01"), value=99.0),  # unique_id, ds, y win
        with_column(note="text", nothing=None, more=[[1]] * (2 * ROWS)),
        Foreign,
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).with_columns(pl.col("unique_id").cast(pl.Categorical)),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False).combine_chunks().to_batches()[0],
    ],
)
def test_two_series_are_two_wherever_their_names_are(change: Change) -> None:
    """In columns or in the index, in any order, of any type and library; names of forecasting libraries win."""
    assert {"a": Y.tolist(), "b": (Y + 10).tolist()} == {
        name: sorted_like(y) for name, y in read(change(two())).items()
    }


def sorted_like(values: list[float]) -> list[float]:
    """Values as they came back; those of shuffled rows are sorted by time already."""
    return [round(value, 3) for value in values]


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        as_index("ds"),
        as_index("ds", called=(None,)),
        lambda frame: frame.set_index("ds")["y"],
        lambda frame: frame.set_index("ds", drop=False),
        lambda frame: frame.set_index("ds", drop=False).rename_axis(None),
        lambda frame: frame.set_index(pd.PeriodIndex(frame["ds"], freq="h"))[["y"]],
        with_column(ds=pd.period_range("2024-01-01", periods=ROWS, freq="h")),
        with_column(ds=DS.tz_localize("UTC")),
        with_column(ds=(DS + pd.Timedelta(hours=1)).tz_localize("Europe/Berlin")),
        with_column(ds=DS.astype(str)),
        with_column(ds=[str(moment) + "+00:00" for moment in DS]),
        with_column(ds=pd.Series(DS.to_pydatetime(), dtype=object)),
        with_column(ds=DS.astype("datetime64[ns]")),
        with_column(ds=DS.astype("datetime64[s]")),
        with_column(ds=DS.astype("datetime64[ms]").astype("int64")),
        with_column(ds=pd.array(DS.astype("datetime64[ms]").astype("int64"), dtype="Int64")),
        with_column(ds=pd.Series(DS).astype(pd.ArrowDtype(pa.timestamp("us", "UTC")))),
        lambda frame: pl.from_pandas(frame).with_columns(pl.col("ds").dt.replace_time_zone("UTC")),
        lambda frame: pl.from_pandas(frame).with_columns(
            pl.col("ds").dt.epoch("ms"), pl.col("y").cast(pl.Decimal(9, 3))
        ),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        with_column(ds=pd.Categorical(DS.astype(str))),
        lambda frame: frame.rename(columns={"ds": "when"}),
        lambda frame: frame.assign(ds=DS.astype(str)).rename(columns={"ds": "when"}),
        lambda frame: frame.rename(columns={"y": "load"}),
        lambda frame: frame.rename(columns={"y": 0}),
        lambda frame: Frame({0: frame["ds"], 1: frame["y"]}),
        lambda frame: frame.assign(id=range(ROWS)),
        lambda frame: frame.rename_axis("row"),
        lambda frame: frame.set_index(pd.Index([f"row {i}" for i in range(ROWS)])),
        with_column(y=Y.astype(object)),
        with_column(y=Y.astype(str)),
        with_column(y=[Decimal(str(value)) for value in Y]),
        with_column(y=pd.array(Y, dtype="Float64")),
        with_column(y=pd.arrays.SparseArray(Y)),
        with_column(y=pd.Categorical(Y)),
        with_column(y=pd.Series([str(v) if i % 2 else v for i, v in enumerate(Y)], dtype=object)),
    ],
)
def test_one_series_is_read_whatever_its_index_and_types(change: Change) -> None:
    """DatetimeIndex, PeriodIndex, aware and naive times, epochs, text, nullable and Arrow types, Decimal."""
    assert [Y.tolist()] == [sorted_like(y) for y in read(change(one())).values()]


@pytest.mark.parametrize(
    "column",
    [Y > 0, pd.array(Y > 0, dtype="boolean"), pd.Series(Y > 0, dtype=object), pd.array(Y > 0, dtype="bool[pyarrow]")],
)
@pytest.mark.parametrize("name", ["y", "on"])
def test_a_truth_value_is_0_or_1(column: Any, name: str) -> None:
    """As the only column with numbers, under any name, and as a feature."""
    assert {"frame": (Y > 0).astype(float).tolist()} == read(one()[["ds"]].assign(**{name: column}))
    (history,) = read_frame(one().assign(on=column), None, ("all",)).accepted
    assert ("value", "on") == history.features
    assert (Y > 0).astype(float).tolist() == history.values[:, 1].tolist()


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_value_is_a_missing_reading(missing: Any) -> None:
    """Its row is left out, as in a file."""
    frame = one().astype({"y": object})
    frame.loc[3, "y"] = missing
    assert {"frame": np.delete(Y, 3).tolist()} == read(frame)


def test_numbers_of_series_keep_their_digits() -> None:
    """1 and 1.0 are `1`; text of any kind stays as it is."""
    for names, expected in (([1, 2], "12"), ([1.0, 2.0], "12"), ([b"x", True], ["x", "True"]), ([1, "b"], ["1", "b"])):
        ids = pd.Series([name for name in names for _ in range(ROWS)], dtype=object if names[0] == b"x" else None)
        assert list(expected) == list(read(two().assign(unique_id=ids)))


def test_the_target_and_features_are_those_that_are_asked_for() -> None:
    """In any case; twice is once, and the target is not a feature of itself."""
    frame = one().assign(wind=1.0, Sun=2.0, note="x")
    for features in (("wind", "sun"), ("WIND", "Sun", "wind", "y")):
        (history,) = read_frame(frame, None, features).accepted
        assert ("value", "wind", "Sun") == history.features
    (history,) = read_frame(frame, "wind", ("all",)).accepted
    assert ("wind", "y", "Sun") == history.features
    assert ("value", "wind", "Sun") == read_frame(frame.assign(value=5.0), None, ("all",)).accepted[0].features
    assert ("value",) == read_frame(frame, None, ("none",)).accepted[0].features
    (history,) = read_frame(frame.assign(value=5.0), None, ("wind", "value")).accepted
    assert ("y", "wind", "value") == history.features
    assert Y.tolist() == history.values[:, 0].tolist()


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ([{"ds": "2024-01-01", "y": 1.0}], "the frame is of type list: give a frame of pandas, polars or Arrow"),
        ({"ds": DS, "y": Y}, "the frame is of type dict: give a frame of pandas"),
        (np.zeros((3, 2)), "the frame is of type numpy ndarray"),
        (None, "the frame is of type NoneType"),
        ("history.csv", "the frame is of type str"),
        (pl.LazyFrame({"ds": [1], "y": [1.0]}), "the frame is of type polars LazyFrame: collect it first"),
        (Foreign(5), "the frame is of type int"),
        (Foreign(ImportError("no pyarrow")), "cannot be converted by its to_pandas: no pyarrow"),
        (pd.Series(Y), "no time column among y"),
        (one().head(0), "the frame has no row"),
        (Frame(), "the frame has no row"),
        (Frame(index=range(3)), "no time column among none"),
        (Frame({("a", "b"): Y, ("a", "c"): Y}), "the columns of the frame have several levels"),
        (pd.concat([one(), one()[["y"]]], axis=1), "the frame has the column 'y' twice"),
        (one().assign(Y=Y), "the frame has the column 'Y' twice"),
        (one().rename(columns={"y": "a"}).assign(b=1), r"several columns hold numbers \(a, b\) .* name one as target"),
        (two().rename(columns={"y": "a"}).assign(b=True), r"several columns hold numbers \(a, b\)"),
        (
            one().rename(columns={"y": "a"}).assign(a="x"),
            "no column holds numbers among a: call the one to forecast 'y'",
        ),
        (Frame({"a": DS, "b": DS, "y": Y}), r"several columns hold times \(a, b\): call the right one 'ds'"),
        (Frame({"date": DS, "time": "12:00", "y": Y}), "both 'date' and 'time': join them into one column 'ds'"),
        (
            one().set_index("ds", drop=False).assign(ds=pd.Timestamp("2020-01-01")),
            "the index and the column 'ds' differ",
        ),
        (one().set_index(DS + pd.Timedelta("1h")), "the index and the column 'ds' differ"),
        (
            two().assign(town="x").set_index(["unique_id", "town", "ds"]).rename_axis(["land", "town", "ds"]),
            "levels 'land' and 'town' beside the times: join them into one level 'unique_id'",
        ),
        (one().assign(ds=True), "column 'ds' of the frame holds bool, not times"),
        (one().assign(ds=pd.to_timedelta(range(ROWS), unit="h")), "holds timedelta64.*, not times"),
        (
            one().assign(ds=pd.Series([d if i % 2 else d.tz_localize("UTC") for i, d in enumerate(DS)], dtype=object)),
            "alike",
        ),
        (one().assign(ds=[pd.NaT, *DS[1:]]), "row 1 of the frame has no ds"),
        (one().assign(ds="soon"), "ds 'soon' is no"),
        (one().assign(ds=[int(f"202401{i % 28 + 1:02}") for i in range(ROWS)]), "ds '20240101' looks like a date"),
        (one().assign(ds=np.uint64(2**63 + 5)), "ds '"),
        (one().assign(y="abc"), "column 'y' of the frame holds no usable number; row 1 of the frame: y 'abc'"),
        (one().assign(y=1j), "column 'y' of the frame holds complex128, not numbers"),
        (one().assign(y=DS), "column 'y' of the frame holds datetime64.*, not numbers"),
        (one().assign(y=[[1.0]] * ROWS), r"y '\[1.0\]' is no number"),
        (two().assign(unique_id=[None] * ROWS + ["b"] * ROWS), "row 1 of the frame has no name in column 'unique_id'"),
        (one().assign(unique_id=pd.Series(["\ud800"] * ROWS, dtype=object)), "the frame cannot be read: .*surrogates"),
        # Several series, with their names in an unnamed place.
        (two().rename(columns={"unique_id": "shop"}), "48 of 96 times .* column 'shop' distinguishes the rows"),
        (two().set_index("unique_id").rename_axis("shop"), "column 'shop' distinguishes the rows"),
        (two().set_index("unique_id").rename_axis(None), "'level 0 of the index' distinguishes the rows"),
        (
            two().assign(unique_id=NUMBERS).set_index(["unique_id", "ds"]).rename_axis(["n", "ds"]),
            "column 'n' distinguishes the rows",
        ),
        (
            two().assign(unique_id=NUMBERS).set_index(["ds", "unique_id"]).rename_axis([None, None]),
            "'level 1 of the index'",
        ),
        (
            Frame(
                {
                    "date": np.repeat(DS[:5].normalize() + pd.to_timedelta(range(5), "D"), 24),
                    "hour": [*range(24)] * 5,
                    "y": range(120),
                }
            ),
            "column 'hour' distinguishes the rows",
        ),
        (two().assign(unique_id="a", town=[1] * ROWS + [2] * ROWS), "column 'town' distinguishes the rows"),
        # Numbers that are dates.
        (
            one().assign(ds=45292.0 + np.arange(ROWS) / 24),
            "ds '45292.0' looks like the number of a day in a spreadsheet: write 2024-01-01",
        ),
        (one().assign(ds=[2024 - i % 40 for i in range(ROWS)]), "looks like a year"),
        (
            one().assign(ds=[200001 + 100 * (i // 12) + i % 12 for i in range(ROWS)]),
            "ds '200001' looks like a date: write 2000-01-01",
        ),
    ],
)
def test_a_frame_that_is_not_clear_is_one_sentence(frame: Any, sentence: str) -> None:
    """No column is guessed, and no error of pandas or Arrow comes through."""
    with pytest.raises(HistoryError, match=sentence) as caught:
        read_frame(frame, None, ())
    assert "\n" not in str(caught.value)
    assert "parquet" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "features", "sentence"),
    [
        ("wnd", (), "no column for the target 'wnd': did you mean 'wind'?"),
        ("zzz", (), "no column for the target 'zzz': use one of y, wind"),
        ("ds", (), "the target 'ds' is the frame's column of times or ids"),
        (None, ("wind", "sun"), "no column for the feature 'sun'"),
        (None, ("Y ", "wimd"), "no column for the feature 'wimd': did you mean 'wind'?"),
    ],
)
def test_a_column_that_does_not_exist_is_named_with_the_most_similar_one(
    target: str | None, features: tuple[str, ...], sentence: str
) -> None:
    """Before anything is trained."""
    with pytest.raises(HistoryError) as caught:
        read_frame(one().assign(wind=1.0), target, features)
    assert sentence in str(caught.value)


def test_a_series_that_cannot_be_used_does_not_keep_the_others() -> None:
    """It is refused by name, with the row of the frame."""
    frame = two()
    frame.loc[3, "y"] = np.inf
    histories = read_frame(frame, None, ())
    assert ["b"] == [history.series for history in histories.accepted]
    (refusal,) = histories.refused
    assert ("a", True) == (refusal.series, refusal.reason.startswith("row 4 of the frame: y 'inf' is infinite"))


def test_the_field_that_the_worker_forecasts_is_the_target_of_a_frame_that_has_it() -> None:
    """It is the setting `series.target`; a named target wins, and a frame without the field is read as usual."""
    frame = one().assign(load=1.0)
    assert ("load",) == read_frame(frame, None, (), "load").accepted[0].features
    assert ("y",) == read_frame(frame, "y", (), "load").accepted[0].features
    assert ("value",) == read_frame(one(), None, (), "load").accepted[0].features


def test_a_name_with_odd_blanks_is_a_field_without_them() -> None:
    """As in a file: a reading's field cannot have invisible blanks."""
    frame = one().rename(columns={"y": "\ufeffload\xa0mw "})
    assert ("load mw",) == read_frame(frame, None, ()).accepted[0].features
    assert ("load mw",) == read_frame(frame, "load\xa0mw", ()).accepted[0].features
    with pytest.raises(HistoryError, match="cannot be a field of a reading: rename it"):
        read_frame(one().rename(columns={"y": "a\x07b"}), None, ())


def test_the_callers_frame_is_left_as_it_is() -> None:
    """Neither its index nor its columns nor its values change."""
    frame = two().set_index(["unique_id", "ds"]).rename(columns={"y": " load "})
    before = frame.copy()
    read(frame)
    pd.testing.assert_frame_equal(before, frame)


def test_dates_are_midnights() -> None:
    """A column of Python's dates, in a column or in the index."""
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(ROWS)]
    for frame in (one().assign(ds=pd.Series(days, dtype=object)), one().set_index(pd.Index(days))[["y"]]):
        assert {"frame": Y.tolist()} == read(frame)
