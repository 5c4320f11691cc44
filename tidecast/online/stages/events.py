"""The events of a batch: drifts and the conditions of series that its readings begin or end."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tidecast.arrays import Int64
from tidecast.durations import duration_text
from tidecast.online.batch import Batch
from tidecast.online.kernels.detection.drift_sums import (
    ERRORS_ROSE,
    LEVEL_MOVED,
    MODEL_DEGRADED,
    NOTHING,
    SEASON_CHANGED,
)
from tidecast.online.kernels.detection.watch_facts import BACK, BEGINS, ENDS, SILENT, SLOWLY, STUCK, UNSTUCK
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.series_entry import SeriesEntry
from tidecast.wire import Event
from tidecast.wire.events import Fact

SILENCES_AT_ONCE = 500  # events of silent series in one commit at most
CHANGES = {ERRORS_ROSE: "the forecasts err more than before", SEASON_CHANGED: "the season has another shape"}


def events_of(batch: Batch, series: PartitionSeries, scores: BatchScores) -> list[Event]:
    """Return the events that the readings of a batch have caused, in the order of the readings."""
    rare = np.flatnonzero((scores.watched != 0) | (scores.drift != NOTHING))
    return [
        event for i in rare.tolist() for event in _events_at(batch, i, series.entry(batch.readings.number[i]), scores)
    ]


def silent_series(series: PartitionSeries, as_of_ms: int) -> Int64:
    """Mark the series that have become silent; return their numbers, `(n,)`.

    Args:
        series: the series of the partition.
        as_of_ms: epoch milliseconds; all entries that arrived up to then must have been handled.
    """
    due = series.columns["due"]
    silent = np.flatnonzero((due > 0) & (due < as_of_ms))[:SILENCES_AT_ONCE]
    due[silent] = 0
    for number in silent.tolist():
        series.entry(number).state.fields.watch.silent = 1
    return silent


def silence_of(entry: SeriesEntry) -> Event:
    """Return the event of a series that has become silent."""
    watch = entry.state.fields.watch
    return _silence(entry.series, watch.arrived, watch.due)


def _silence(series: str, since: float, due: float) -> Event:
    facts = {"ts": int(due), **_lasting(since, due)}
    return Event("silent", f"no reading for {_text(due - since)}", series, facts=facts)


def _events_at(batch: Batch, i: int, entry: SeriesEntry, scores: BatchScores) -> Iterator[Event]:
    """Yield the events that reading `i` has caused."""
    bits = int(scores.watched[i])
    facts = scores.facts[i]
    ts = int(batch.readings.ts[i])
    y = float(batch.readings.y[i])
    reading: dict[str, Fact] = {"ts": ts, "reading": batch.ids[i], "value": y}
    if bits & SILENT:
        yield _silence(entry.series, facts.silent_since, facts.due)
    if bits & BACK:
        lasting = _lasting(facts.silent_since, batch.readings.arrived[i])
        detail = f"a reading after {_text(lasting['duration_ms'])}"
        yield Event("back", detail, entry.series, facts=reading | lasting)
    if bits & (STUCK | UNSTUCK):
        within: dict[str, Fact] = {"within": float(facts.stuck_within)} if facts.stuck_within else {}
        yield _stuck(entry, bits & STUCK != 0, reading | within | _lasting(facts.stuck_since, ts))
    if bits & (BEGINS | ENDS) and not entry.muted:
        yield from _anomaly(entry, bits, reading | _forecast(y, scores, i), facts.anomaly_since)
    if scores.drift[i] != NOTHING:
        pace: dict[str, Fact] = {"pace": "slow"} if bits & SLOWLY else {}
        yield _drift(entry, int(scores.drift[i]), float(scores.statistic[i]), reading | pace, facts)


def _stuck(entry: SeriesEntry, is_stuck: bool, facts: dict[str, Fact]) -> Event:
    duration = _text(facts["duration_ms"])
    if is_stuck:
        change = f"changed by more than {facts['within']:.3g}" if "within" in facts else "changed"
        return Event("stuck", f"{facts['value']:g} has not {change} for {duration}", entry.series, facts=facts)
    return Event("unstuck", f"the value changes again, after {duration}", entry.series, facts=facts)


def _forecast(y: float, scores: BatchScores, i: int) -> dict[str, Fact]:
    """Return the facts on reading `i`: the forecast of it, if known, and in how many readings one so rare is due."""
    error = float(scores.error[i])
    expected: dict[str, Fact] = {"expected": y - error} if math.isfinite(error) else {}
    return {**expected, "score": round(10 ** float(scores.facts[i].rarity))}


def _anomaly(entry: SeriesEntry, bits: int, facts: dict[str, Fact], since: float) -> Iterator[Event]:
    """Yield the end of an anomaly, and the begin of the next one."""
    value = f"{facts['value']:.6g}" + (f", expected {facts['expected']:.6g}" if "expected" in facts else "")
    if bits & ENDS:
        lasting = _lasting(since, float(facts["ts"]))
        detail = f"over after {_text(lasting['duration_ms'])}: {value}"
        yield Event("anomaly", detail, entry.series, facts={"phase": "ends", **facts, **lasting})
    if bits & BEGINS:
        yield Event("anomaly", value, entry.series, facts={"phase": "begins", **facts})


def _drift(entry: SeriesEntry, kind: int, statistic: float, reading: dict[str, Fact], facts: Any) -> Event:
    """Return the event of a drift; a change of level and the loss of a model have kinds of their own."""
    if kind == LEVEL_MOVED:
        old = float(facts.old_level)
        new = float(facts.new_level)
        begun = {} if math.isnan(facts.level_since) else _lasting(facts.level_since, int(reading["ts"]))
        detail = ("slowly " if "pace" in reading else "") + f"from {old:.6g} to {new:.6g}"
        return Event("level_changed", detail, entry.series, facts={**reading, "old": old, "new": new, **begun})
    if kind == MODEL_DEGRADED:
        version = entry.slot.version if entry.slot else None
        return Event("model_degraded", "its LSTM has lost its weight", entry.series, version, facts=reading)
    detail = f"{CHANGES[kind]}: {statistic:.2f} times the threshold"
    return Event("drift", detail, entry.series, facts=reading)


def _lasting(since: float, until: float) -> dict[str, Fact]:
    """Return the facts on a condition that began at one time and lasts until another, epoch milliseconds."""
    return {"since": int(since), "duration_ms": int(until) - int(since)}


def _text(duration_ms: Fact) -> str:
    """Return a duration as text, in whole seconds if it is long."""
    ms = round(float(duration_ms))
    return duration_text(round(ms / 1000) if ms >= 1000 else ms / 1000)
