"""Forecast by the experts that need no training, and let them learn from a batch."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import PRETRAINED
from tidecast.online.batch import Batch
from tidecast.online.engine import Engine
from tidecast.online.kernels.online_linear import OnlineCoefficients, forecast_online
from tidecast.online.kernels.series_rows import NONE


def forecast_untrained(batch: Batch, engine: Engine, forecasts: Float, kept: OnlineCoefficients) -> None:
    """Let the experts learn from each reading, and write their forecasts.

    Args:
        batch: the accepted readings.
        engine: the models.
        forecasts: `(readings, experts)`, in which the models of the series have forecast.
        kept: the experts that learn, for further steps; empty: they are not needed.
    """
    rows = batch.requests.rows
    forecast_online(batch.series, batch.readings, rows, forecasts, kept)
    chosen = np.flatnonzero(batch.requests.slabs == NONE)
    if len(chosen):
        seasons = batch.readings.seasons[chosen]
        forecasts[chosen, PRETRAINED] = engine.predict_pretrained(rows.chosen(chosen), seasons)
