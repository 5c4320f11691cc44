"""Put the readings of a batch into the windows of their series, and request the next forecasts."""

import numpy as np

from tidecast.models.calendar_steps import times_ahead
from tidecast.online.batch import Batch, BatchResult, ParsedReadings
from tidecast.online.engine import Engine
from tidecast.online.kernels.placing.taking import DUPLICATE, LATE
from tidecast.online.kernels.rows import Rows
from tidecast.online.requests import NONE, Requests
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.window import take


def place(
    readings: ParsedReadings, series: PartitionSeries, engine: Engine, max_gap: int, result: BatchResult
) -> Batch:
    """Put each reading into its series' window, and return those that the windows accept.

    Args:
        readings: the parsed readings.
        series: the series of the partition.
        engine: the models, among them the networks for series without a model.
        max_gap: how many missing steps in a row are filled.
        result: receives the counts of duplicates and late readings.
    """
    columns = series.columns
    numbers = readings.series
    reads = columns["rows_read"][numbers]
    y = readings.values[:, 0].copy()  # `take` writes the last value in place of a doubted one
    limits = columns["largest_move"][numbers], columns["lowest"][numbers], columns["highest"][numbers]
    taken = take(
        columns["window"][numbers],
        (readings.ts, readings.has_ts, readings.values),
        reads,
        max_gap,
        limits,
        columns["seasons"][numbers],
        lambda i: series.entry(readings.series[i]).state.window.hold_bins(),
    )
    for disposition, code in (("duplicate", DUPLICATE), ("late", LATE)):
        if count := int((taken.missing == code).sum()):
            result.counts[disposition] += count
    places = np.flatnonzero(taken.missing >= 0)
    accepted = slice(None) if len(places) == len(numbers) else places  # a slice copies nothing
    numbers = numbers[accepted]
    ts = readings.ts[accepted]
    steps = taken.steps[accepted]
    missing = taken.missing[accepted]
    days = taken.days[accepted]
    next_ts = times_ahead(ts, steps, days)
    held = np.minimum(taken.lengths, reads)
    widths = columns["width"][readings.series]
    rows = Rows(taken.rows, (held * widths).cumsum(), held, widths).chosen(accepted)
    cohorts = columns["cohort"][numbers]
    slabs = columns["slab"][numbers]
    if engine.has_cohorts:
        for i in np.flatnonzero(slabs == NONE).tolist():
            target = series.entry(numbers[i]).state.features[0]
            cohorts[i] = engine.cohort_number(engine.cohort_of(float(steps[i]), target))
    seasons = taken.seasons[accepted]
    return Batch(
        ids=readings.ids if len(places) == len(readings.ids) else [readings.ids[i] for i in places.tolist()],
        series=numbers,
        ts=ts,
        y=y[accepted],
        next_ts=next_ts,
        steps=steps,
        days=days,
        missing=np.where(taken.lengths[accepted] == 1, -1, missing),
        filled=taken.filled[accepted],
        doubted=taken.doubted[accepted],
        moves=taken.moves[accepted],
        seasons=seasons,
        profiles=taken.profiles[accepted],
        arrived=readings.arrived[accepted],
        requests=Requests(slabs, columns["model"][numbers], cohorts, rows, next_ts, seasons=seasons),
    )
