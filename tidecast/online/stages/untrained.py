"""Forecast by the experts that need no training, and let them learn from a batch."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import PRETRAINED
from tidecast.online.batch import Batch
from tidecast.online.engine import Engine
from tidecast.online.kernels.online_linear import OnlineCoefficients, Seasons, forecast_online
from tidecast.online.requests import NONE
from tidecast.online.series.partition_series import PartitionSeries


def forecast_untrained(
    batch: Batch, series: PartitionSeries, engine: Engine, forecasts: Float, kept: OnlineCoefficients
) -> None:
    """Let the experts learn from each reading, and write their forecasts.

    Args:
        batch: the accepted readings.
        series: the series of the partition.
        engine: the models.
        forecasts: `(readings, experts)`, in which the models of the series have forecast.
        kept: the experts that learn, for further steps; empty: they are not needed.
    """
    columns = series.columns
    trained = batch.requests.slabs != NONE
    learned_before = trained & (batch.ts <= columns["trained_until"][batch.series])
    learns = ~batch.skipped & (batch.doubted == 0) & ~learned_before
    moves = np.where(trained, np.inf, batch.moves)  # a series with a model does not begin with a spike
    addresses = columns["online"][batch.series]
    rows = batch.requests.rows
    teaching = learns.astype(np.int64), batch.doubted
    seasons = Seasons(batch.seasons, batch.profiles)
    forecast_online(addresses, rows, moves, teaching, seasons, trained.astype(np.int64), forecasts, kept)
    chosen = np.flatnonzero(~trained)
    if len(chosen):
        forecasts[chosen, PRETRAINED] = engine.predict_pretrained(rows.chosen(chosen), batch.seasons[chosen])
