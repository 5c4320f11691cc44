"""Put the readings of a batch into the windows of their series, and cut out the rows that the experts read."""

import math
from collections.abc import Sequence

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.online.batch import Batch, BatchResult, Values
from tidecast.online.engine import Engine
from tidecast.online.kernels.window_loops import DUPLICATE, LATE, Taken
from tidecast.online.slab import ModelSlot, PredictionRequest
from tidecast.online.window import take


def place(batch: Batch, engine: Engine, max_gap: int, result: BatchResult) -> None:
    """Put each reading into its series' window, and keep those that the windows accept.

    Args:
        batch: the parsed readings; receives the columns of the accepted ones.
        engine: the models, among them the networks for series without a model.
        max_gap: how many missing steps in a row are filled.
        result: receives the counts of duplicates and late readings.
    """
    if not batch.ids:
        return
    widths = np.array([len(row) for row in batch.values])
    reads = np.array([member.rows_read for member in batch.members])
    values = _matrix(batch.values, widths)
    y = values[:, 0].copy()  # `take` writes the last value in place of a doubted one
    taken = take(
        np.array([member.state.window.address for member in batch.members]),
        batch.ts,
        values,
        reads,
        max_gap,
        _history_limits([member.slot for member in batch.members]),
    )
    for disposition, code in (("duplicate", DUPLICATE), ("late", LATE)):
        if count := int((taken.missing == code).sum()):
            result.counts[disposition] += count
    accepted = np.flatnonzero(taken.missing >= 0)
    batch.keep(accepted)
    steps = taken.steps[accepted]
    missing = taken.missing[accepted]
    batch.y = y[accepted]
    batch.next_ts = batch.ts + np.rint(steps).astype(np.int64)
    batch.step_known = steps > 0
    batch.skipped = (missing > 0) | (taken.lengths[accepted] == 1)
    batch.filled = taken.filled[accepted]
    batch.doubted = taken.doubted[accepted]
    batch.moves = taken.moves[accepted]
    _request_forecasts(batch, engine, steps, _rows_of_each(taken, reads, widths, accepted))


def _request_forecasts(batch: Batch, engine: Engine, steps: Float, rows: Sequence[Float]) -> None:
    """Fill the column of requests; a series without a model is assigned to the cohort of its target and step."""
    cohorts: dict[tuple[float, str], str | None] = {}
    columns = zip(batch.members, steps.tolist(), batch.next_ts.tolist(), rows, strict=True)
    for i, (member, step, next_ts, newest) in enumerate(columns):
        slot = member.slot
        cohort = slot.shared if slot else None
        if slot is None and member.rows_read > 1:
            key = step, member.state.features[0]
            if key not in cohorts:
                cohorts[key] = engine.cohort_of(*key)
            cohort = cohorts[key]
            if cohort is None:  # its forecast is the last value, which is the only row that counts
                batch.filled[i] = batch.doubted[i] > 0
        batch.requests.append(PredictionRequest(slot, cohort, newest, next_ts))


def _rows_of_each(taken: Taken, reads: Int64, widths: Int64, accepted: Int64) -> list[Float]:
    """Return the newest rows of each accepted reading's series: `(held, features)` each."""
    held = np.minimum(taken.lengths, reads)
    ends = (held * widths).cumsum()
    columns = (column[accepted].tolist() for column in (held, widths, ends))
    return [
        taken.rows[end - count * width : end].reshape(count, width) for count, width, end in zip(*columns, strict=True)
    ]


def _matrix(values: Sequence[Values], widths: Int64) -> Float:
    """Return the values as `(readings, features)`, with NaN where a series has fewer features."""
    widest = int(widths.max())
    if int(widths.min()) < widest:
        values = [(*row, *[math.nan] * (widest - len(row))) for row in values]
    return np.array(values)


def _history_limits(slots: Sequence[ModelSlot | None]) -> tuple[Float, Float, Float]:
    """Return the usual largest moves, lowest and highest values of the models' histories, as `take` reads them."""
    known = [slot.known if slot else NO_LIMITS for slot in slots]
    usual = np.array([slot.largest_move if slot else 0.0 for slot in slots])
    return usual, np.array([low for low, _ in known]), np.array([high for _, high in known])
