"""Forecasts, readings, backtests and trainings as pandas frames, with the columns of forecasting libraries.

pandas comes with the extra `train`. Times are `datetime64[ms, UTC]`, values in the series' own unit.
"""

from tidecast.tools.frames.building import COLUMNS
from tidecast.tools.frames.cross_validation import backtest
from tidecast.tools.frames.forecasting import forecast
from tidecast.tools.frames.frame_options import FrameOptions
from tidecast.tools.frames.read import read_forecasts, read_readings
from tidecast.tools.frames.scoring import scores
from tidecast.tools.frames.training import TrainingRun, compare, train

__all__ = [
    "COLUMNS",
    "FrameOptions",
    "TrainingRun",
    "backtest",
    "compare",
    "forecast",
    "read_forecasts",
    "read_readings",
    "scores",
    "train",
]
