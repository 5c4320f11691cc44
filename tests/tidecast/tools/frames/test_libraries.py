"""Frames of polars and Arrow in the functions that take frames: they answer as with pandas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tidecast
from tests.tidecast.tools.frames.harness import QUICK, wave
from tidecast.errors import HistoryError

Convert = Callable[[pd.DataFrame], Any]

libraries = pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])


@libraries
@pytest.mark.keras
def test_all_functions_take_the_frames_of_a_library(convert: Convert, tmp_path: Path) -> None:
    """They train, forecast, cross-validate and score what they would in pandas."""
    frame = pd.concat([wave("a"), wave("b")], ignore_index=True)
    given = convert(frame)
    fixed: dict[str, Any] = {"created": "2026-01-01", "seed": 3, **QUICK}
    run = tidecast.train(given, tmp_path / "library", **fixed)
    same = tidecast.train(frame, tmp_path / "pandas", **fixed)
    pd.testing.assert_frame_equal(same.verdicts, run.verdicts)
    made = tidecast.forecast(given, 3, tmp_path / "library")
    pd.testing.assert_frame_equal(tidecast.forecast(frame, 3, tmp_path / "pandas"), made)
    tested = tidecast.backtest(given, 2, 4, **QUICK)
    pd.testing.assert_frame_equal(tidecast.backtest(frame, 2, 4, **QUICK), tested)
    by: Any
    for by in ("overall", "unique_id", "step"):
        pd.testing.assert_frame_equal(tidecast.scores(tested, by), tidecast.scores(convert(tested), by))


def test_a_frame_of_no_library_is_refused_in_scores() -> None:
    """The message names the type, and a lazy frame the missing step."""
    with pytest.raises(HistoryError, match="of type list: give a frame of pandas, polars or Arrow"):
        tidecast.scores([1.0])
    with pytest.raises(HistoryError, match="of type polars LazyFrame: collect it first"):
        tidecast.scores(pl.LazyFrame({"y": [1.0], "yhat": [1.0]}))
