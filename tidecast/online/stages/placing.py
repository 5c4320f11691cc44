"""Put the readings of a batch into the windows of their series, and request the next forecasts."""

import numpy as np

from tidecast.arrays import Int64
from tidecast.online.batch import Batch, BatchResult, ParsedReadings
from tidecast.online.engine import Engine
from tidecast.online.kernels.placing.taking import take
from tidecast.online.kernels.readings import DUPLICATE, LATE, Readings
from tidecast.online.kernels.series_rows import NONE
from tidecast.online.requests import Requests
from tidecast.online.series.partition_series import PartitionSeries


def place(parsed: ParsedReadings, series: PartitionSeries, engine: Engine, max_gap: int, result: BatchResult) -> Batch:
    """Put each reading into its series' window, and return those that the windows accept.

    Args:
        parsed: the parsed readings.
        series: the series of the partition.
        engine: the models, among them the networks for series without a model.
        max_gap: how many missing steps in a row are filled.
        result: receives the counts of duplicates and late readings.
    """
    rows_of = series.columns.rows(parsed.series)
    readings = Readings.of(parsed.series, parsed.ts, parsed.arrived)
    rows = take(
        rows_of,
        readings,
        parsed.has_ts,
        parsed.values,
        max_gap,
        lambda i: series.entry(parsed.series[i]).state.window.hold_bins(),
    )
    ids = parsed.ids
    if not readings.accepted.all():
        result.counts["duplicate"] += int((readings.missing == DUPLICATE).sum())
        result.counts["late"] += int((readings.missing == LATE).sum())
        places = np.flatnonzero(readings.accepted)
        ids = [ids[i] for i in places.tolist()]
        rows_of = rows_of[places]
        readings = readings.chosen(places)
        rows = rows.chosen(places)
    cohorts = rows_of["cohort"]
    if engine.has_cohorts:
        _choose_cohorts(cohorts, readings, rows_of["slab"], series, engine)
    requests = Requests(
        rows_of["slab"], rows_of["model"], cohorts, rows, readings.times_ahead(1), seasons=readings.seasons
    )
    return Batch(ids, readings, rows_of, requests)


def _choose_cohorts(cohorts: Int64, readings: Readings, slabs: Int64, series: PartitionSeries, engine: Engine) -> None:
    """Write the cohorts whose networks forecast the series without a model."""
    for i in np.flatnonzero(slabs == NONE).tolist():
        target = series.entry(readings.number[i]).state.features[0]
        cohorts[i] = engine.cohort_number(engine.cohort_of(float(readings.steps[i]), target))
