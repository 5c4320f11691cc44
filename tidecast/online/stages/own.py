"""Forecast by experts of the users' own, which a runner calls."""

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import OWN
from tidecast.online.batch import Batch
from tidecast.online.own_experts import OwnCall, OwnRunner
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.wire import Event


def forecast_own(batch: Batch, series: PartitionSeries, runner: OwnRunner, forecasts: Float) -> list[Event]:
    """Write the forecasts of the users' own experts; return an event for each expert that failed.

    Args:
        batch: the accepted readings.
        series: the series of the partition.
        runner: calls the experts.
        forecasts: `(readings, experts)`.
    """
    has_own = np.flatnonzero(series.columns.own[batch.series])
    if not len(has_own):
        return []
    calls: list[OwnCall] = []
    places: list[list[int]] = []
    for number in np.unique(batch.series[has_own]).tolist():
        entry = series.entry(number)
        if entry.slot is None or entry.slot.own is None:
            continue
        rows = entry.slot.own.rows
        at = [i for i in has_own[batch.series[has_own] == number].tolist() if batch.requests.rows.held[i] >= rows]
        windows = [batch.requests.rows.window(i)[-rows:] for i in at]
        if windows and np.isfinite(windows).all():
            calls.append(OwnCall(entry.series, entry.slot.version, entry.slot.own, np.array(windows)))
            places.append(at)
    answers, failures = runner.forecast(calls)
    for at, answer in zip(places, answers, strict=True):
        forecasts[at, OWN] = answer
    return [Event("expert_failed", failure.reason, failure.series) for failure in failures]
