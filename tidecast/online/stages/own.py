"""Forecast by experts of the users' own, which a runner calls."""

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.experts import OWN
from tidecast.online.batch import Batch
from tidecast.online.known_rows import with_known
from tidecast.online.own_experts import OwnCall, OwnRunner
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.slab import ModelSlot
from tidecast.wire import Event


def forecast_own(batch: Batch, series: PartitionSeries, runner: OwnRunner, forecasts: Float) -> list[Event]:
    """Write the forecasts of the users' own experts; return an event for each expert that failed.

    Args:
        batch: the accepted readings.
        series: the series of the partition.
        runner: calls the experts.
        forecasts: `(readings, experts)`.
    """
    has_own = np.flatnonzero(batch.series["own"])
    if not len(has_own):
        return []
    calls: list[OwnCall] = []
    places: list[Int64] = []
    for number in np.unique(batch.readings.number[has_own]).tolist():
        entry = series.entry(number)
        slot = entry.slot
        if slot is None or slot.own is None:
            continue
        at, windows = _windows(batch, has_own[batch.readings.number[has_own] == number], slot, slot.own.rows)
        if len(at):
            calls.append(OwnCall(entry.series, slot.version, slot.own, windows))
            places.append(at)
    answers, failures = runner.forecast(calls)
    for at, answer in zip(places, answers, strict=True):
        forecasts[at, OWN] = answer
    return [Event("expert_failed", failure.reason, failure.series) for failure in failures]


def _windows(batch: Batch, at: Int64, slot: ModelSlot, count: int) -> tuple[Int64, Float]:
    """Return the readings of one series that have a whole window, and these windows, with the known inputs if any."""
    at = at[batch.requests.rows.held[at] >= count]
    rows = batch.requests.rows.chosen(at)
    if lookup := slot.slab.lookup_of(slot.row):
        known = batch.requests.known.chosen(at) if batch.requests.known else None
        rows = with_known(rows, [lookup] * len(at), batch.requests.next_ts[at], known)
    windows = np.array([rows.window(i)[-count:] for i in range(len(at))])
    whole = np.array([bool(np.isfinite(window).all()) for window in windows], np.bool_)
    return at[whole], windows[whole] if len(at) else windows
