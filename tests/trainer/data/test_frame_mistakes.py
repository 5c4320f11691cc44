"""Frames that are not clear, or cannot be used, end in one sentence with the remedy."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.trainer.data.frames import DS, ROWS, Foreign, Frame, Y, one_series, two_series
from tidecast.errors import HistoryError
from trainer.data.frames import read_frame

NUMBERS = [1] * ROWS + [2] * ROWS


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
        (one_series().head(0), "the frame has no row"),
        (Frame(), "the frame has no row"),
        (Frame(index=range(3)), "no time column among none"),
        (Frame({("a", "b"): Y, ("a", "c"): Y}), "the columns of the frame have several levels"),
        (pd.concat([one_series(), one_series()[["y"]]], axis=1), "the frame has the column 'y' twice"),
        (one_series().assign(Y=Y), "the frame has the column 'Y' twice"),
        (
            one_series().rename(columns={"y": "a"}).assign(b=1),
            r"several columns hold numbers \(a, b\) .* name one as target",
        ),
        (two_series().rename(columns={"y": "a"}).assign(b=True), r"several columns hold numbers \(a, b\)"),
        (
            one_series().rename(columns={"y": "a"}).assign(a="x"),
            "no column holds numbers among a: call the one to forecast 'y'",
        ),
        (Frame({"a": DS, "b": DS, "y": Y}), r"several columns hold times \(a, b\): call the right one 'ds'"),
        (Frame({"date": DS, "time": "12:00", "y": Y}), "both 'date' and 'time': join them into one column 'ds'"),
        (
            one_series().set_index("ds", drop=False).assign(ds=pd.Timestamp("2020-01-01")),
            "the index and the column 'ds' differ",
        ),
        (one_series().set_index(DS + pd.Timedelta("1h")), "the index and the column 'ds' differ"),
        (
            two_series().assign(town="x").set_index(["unique_id", "town", "ds"]).rename_axis(["land", "town", "ds"]),
            "levels 'land' and 'town' beside the times: join them into one level 'unique_id'",
        ),
        (one_series().assign(ds=True), "column 'ds' of the frame holds bool, not times"),
        (one_series().assign(ds=pd.to_timedelta(range(ROWS), unit="h")), "holds timedelta64.*, not times"),
        (
            one_series().assign(
                ds=pd.Series([d if i % 2 else d.tz_localize("UTC") for i, d in enumerate(DS)], dtype=object)
            ),
            "alike",
        ),
        (one_series().assign(ds=[pd.NaT, *DS[1:]]), "row 1 of the frame has no ds"),
        (one_series().assign(ds="soon"), "ds 'soon' is no"),
        (
            one_series().assign(ds=[int(f"202401{i % 28 + 1:02}") for i in range(ROWS)]),
            "ds '20240101' looks like a date",
        ),
        (one_series().assign(ds=np.uint64(2**63 + 5)), "ds '"),
        (one_series().assign(ds=np.float32(1704067200)), "ds '1704067200.0' was rounded by its type"),
        (one_series().assign(y="abc"), "column 'y' of the frame holds no usable number; row 1 of the frame: y 'abc'"),
        (one_series().assign(y=1j), "column 'y' of the frame holds complex128, not numbers"),
        (one_series().assign(y=DS), "column 'y' of the frame holds datetime64.*, not numbers"),
        (one_series().assign(y=[[1.0]] * ROWS), r"y '\[1.0\]' is not a number"),
        (
            two_series().assign(unique_id=[None] * ROWS + ["b"] * ROWS),
            "row 1 of the frame has no name in column 'unique_id'",
        ),
        (
            one_series().assign(unique_id=pd.Series(["\ud800"] * ROWS, dtype=object)),
            "the frame cannot be read: .*surrogates",
        ),
        # Several series, with their names in an unnamed place.
        (two_series().rename(columns={"unique_id": "shop"}), "48 of 96 times .* column 'shop' distinguishes the rows"),
        (two_series().set_index("unique_id").rename_axis("shop"), "column 'shop' distinguishes the rows"),
        (two_series().set_index("unique_id").rename_axis(None), "'level 0 of the index' distinguishes the rows"),
        (
            two_series().assign(unique_id=NUMBERS).set_index(["unique_id", "ds"]).rename_axis(["n", "ds"]),
            "column 'n' distinguishes the rows",
        ),
        (
            two_series().assign(unique_id=NUMBERS).set_index(["ds", "unique_id"]).rename_axis([None, None]),
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
        (two_series().assign(unique_id="a", town=[1] * ROWS + [2] * ROWS), "column 'town' distinguishes the rows"),
        # Numbers that are dates.
        (
            one_series().assign(ds=45292.0 + np.arange(ROWS) / 24),
            "ds '45292.0' looks like the number of a day in a spreadsheet: write 2024-01-01",
        ),
        (one_series().assign(ds=[2024 - i % 40 for i in range(ROWS)]), "looks like a year"),
        (
            one_series().assign(ds=[200001 + 100 * (i // 12) + i % 12 for i in range(ROWS)]),
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
        read_frame(one_series().assign(wind=1.0), target, features)
    assert sentence in str(caught.value)


def test_a_series_that_cannot_be_used_does_not_keep_the_others() -> None:
    """It is refused by name, with the row of the frame."""
    frame = two_series()
    frame.loc[3, "y"] = np.inf
    histories = read_frame(frame, None, ())
    assert ["b"] == [history.series for history in histories.accepted]
    (refusal,) = histories.refused
    assert ("a", True) == (refusal.series, refusal.reason.startswith("row 4 of the frame: y 'inf' is infinite"))
