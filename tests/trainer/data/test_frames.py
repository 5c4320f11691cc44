"""Frames of every form as histories: the id, the time and the target are read wherever they are."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.trainer.data.frames import DS, ROWS, Foreign, Frame, Y, one_series, two_series
from tidecast.errors import HistoryError
from trainer.data.frames import read_frame

FIRST_MS = 1_704_067_200_000  # 2024-01-01
Change = Callable[[Frame], Any]


def read(frame: Any, target: str | None = None, features: tuple[str, ...] = ()) -> dict[str, list[float]]:
    """Return the target's values by series; all series are usable and begin at the same time."""
    histories = read_frame(frame, target, features)
    assert () == histories.refused
    assert {FIRST_MS} == {int(history.ts[0]) for history in histories.accepted}
    return {history.series: history.values[:, 0].tolist() for history in histories.accepted}


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
        name: sorted_like(y) for name, y in read(change(two_series())).items()
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
    assert [Y.tolist()] == [sorted_like(y) for y in read(change(one_series())).values()]


@pytest.mark.parametrize(
    "column",
    [Y > 0, pd.array(Y > 0, dtype="boolean"), pd.Series(Y > 0, dtype=object), pd.array(Y > 0, dtype="bool[pyarrow]")],
)
@pytest.mark.parametrize("name", ["y", "on"])
def test_a_truth_value_is_0_or_1(column: Any, name: str) -> None:
    """As the only column with numbers, under any name, and as a feature."""
    assert {"frame": (Y > 0).astype(float).tolist()} == read(one_series()[["ds"]].assign(**{name: column}))
    (history,) = read_frame(one_series().assign(on=column), None, ("all",)).accepted
    assert ("value", "on") == history.features
    assert (Y > 0).astype(float).tolist() == history.values[:, 1].tolist()


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_value_is_a_missing_reading(missing: Any) -> None:
    """Its row is left out, as in a file."""
    frame = one_series().astype({"y": object})
    frame.loc[3, "y"] = missing
    assert {"frame": np.delete(Y, 3).tolist()} == read(frame)


def test_numbers_of_series_keep_their_digits() -> None:
    """1 and 1.0 are `1`; text of any kind stays as it is."""
    for names, expected in (([1, 2], "12"), ([1.0, 2.0], "12"), ([b"x", True], ["x", "True"]), ([1, "b"], ["1", "b"])):
        ids = pd.Series([name for name in names for _ in range(ROWS)], dtype=object if names[0] == b"x" else None)
        assert list(expected) == list(read(two_series().assign(unique_id=ids)))


def test_the_target_and_features_are_those_that_are_asked_for() -> None:
    """In any case; twice is once, and the target is not a feature of itself."""
    frame = one_series().assign(wind=1.0, Sun=2.0, note="x")
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


def test_the_field_that_the_worker_forecasts_is_the_target_of_a_frame_that_has_it() -> None:
    """It is the setting `series.target`; a named target wins, and a frame without the field is read as usual."""
    frame = one_series().assign(load=1.0)
    assert ("load",) == read_frame(frame, None, (), "load").accepted[0].features
    assert ("y",) == read_frame(frame, "y", (), "load").accepted[0].features
    assert ("value",) == read_frame(one_series(), None, (), "load").accepted[0].features


def test_a_name_with_odd_blanks_is_a_field_without_them() -> None:
    """As in a file: a reading's field cannot have invisible blanks."""
    frame = one_series().rename(columns={"y": "\ufeffload\xa0mw "})
    assert ("load mw",) == read_frame(frame, None, ()).accepted[0].features
    assert ("load mw",) == read_frame(frame, "load\xa0mw", ()).accepted[0].features
    with pytest.raises(HistoryError, match="cannot be a field of a reading: rename it"):
        read_frame(one_series().rename(columns={"y": "a\x07b"}), None, ())


def test_the_callers_frame_is_left_as_it_is() -> None:
    """Neither its index nor its columns nor its values change."""
    frame = two_series().set_index(["unique_id", "ds"]).rename(columns={"y": " load "})
    before = frame.copy()
    read(frame)
    pd.testing.assert_frame_equal(before, frame)


def test_dates_are_midnights() -> None:
    """A column of Python's dates, in a column or in the index."""
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(ROWS)]
    for frame in (one_series().assign(ds=pd.Series(days, dtype=object)), one_series().set_index(pd.Index(days))[["y"]]):
        assert {"frame": Y.tolist()} == read(frame)
