"""Forecasts, readings and backtests as pandas frames, in the columns of forecasting libraries: unique_id, ds, y, yhat.

pandas comes with the extra `train`. Times are `datetime64[ms, UTC]`, values in the series' own unit.
"""

from tidecast.tools.frames.backtest import backtest_frame
from tidecast.tools.frames.building import COLUMNS
from tidecast.tools.frames.read import read_forecasts, read_readings

__all__ = ["COLUMNS", "backtest_frame", "read_forecasts", "read_readings"]
