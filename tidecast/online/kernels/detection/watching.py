"""Watch a series: its arrivals, its anomalies, a value that does not change, and the jumps and drift of its level."""

import math
from typing import Any

from tidecast.arrays import Float
from tidecast.online.kernels.decorators import part_exactly
from tidecast.online.kernels.detection.anomalies import detect_anomaly
from tidecast.online.kernels.detection.arrivals import watch_arrival
from tidecast.online.kernels.detection.flatlines import watch_flatline
from tidecast.online.kernels.detection.level_jumps import watch_level
from tidecast.online.kernels.detection.slow_changes import follow_slowly, former_level, jump_slowly, slow_change
from tidecast.online.kernels.detection.standstills import has_stood_at, varies, watch_standstill
from tidecast.online.kernels.detection.watch_facts import BEGINS, ENDS, SLOWLY


@part_exactly
def watch_reading(record: Any, readings: Any, i: int, rule: Any, facts: Any) -> int:
    """Update the watch of a series with reading `i` of a batch; return the bits of `watch_facts.py`.

    Args:
        record: the series' `RECORD`, before its pending forecast is replaced.
        readings: of the batch.
        i: the place of the reading.
        rule: the `RULE` of its anomalies.
        facts: the `FACTS` of the reading, written.
    """
    watch = record.watch
    y = readings.y[i]
    ts = float(readings.ts[i])
    events = watch_arrival(watch, ts, float(readings.arrived[i]), facts)
    events |= _watch_anomaly(record, rule, y, ts, facts)
    if not readings.doubted[i]:
        events |= watch_standstill(watch, y, ts, facts)
        events |= watch_flatline(watch, y, ts, facts)
        jumped = watch_level(watch, record.anomaly, y, ts, y - record.pending_forecast, facts)
        events |= jumped | _watch_slowly(record, y, _above(readings.profiles[i]), jumped, facts)
        watch.seen += 1
        watch.value = y
    watch.ts = ts
    return events


@part_exactly
def _watch_anomaly(record: Any, rule: Any, y: float, ts: float, facts: Any) -> int:
    """Detect an anomaly; remember when it began until it ends."""
    watch = record.watch
    phase = detect_anomaly(record.anomaly, rule, y, record.pending_forecast, has_stood_at(watch, y))
    facts.rarity = record.anomaly.rarity
    if phase & ENDS:
        facts.anomaly_since = watch.anomaly_ts
        watch.anomaly_ts = 0.0
    if phase & BEGINS:
        watch.anomaly_ts = ts
    return phase


@part_exactly
def _watch_slowly(record: Any, y: float, above: float, jumped: int, facts: Any) -> int:
    """Detect a slow change of the level; begin at the new level if the reading has shown that it jumped.

    While readings confirm a jump, of the watch or of the test of drift, no slow change is detected.
    """
    watch = record.watch
    slow = record.slow
    follow_slowly(slow, y, above)
    if jumped:
        jump_slowly(slow, facts.new_level - facts.old_level, watch.stayed)
    if jumped or watch.jump != 0 or record.drift.stayed > 0 or not varies(watch):
        return 0
    old = former_level(slow)
    change = slow_change(slow, watch.error)
    if change == 0.0:
        return 0
    facts.level_since = math.nan
    facts.old_level = old
    facts.new_level = old + change
    return SLOWLY


@part_exactly
def _above(profiles: Float) -> float:
    """Return the distance of a reading from the profile of the first season that has one; NaN: none has."""
    first = float(profiles[0, 0] - profiles[0, 1])
    return first if math.isfinite(first) else float(profiles[1, 0] - profiles[1, 1])
