"""Check the values that are known ahead: that none was rejected, and that they reach as far as the next forecast."""

from collections.abc import Iterator
from typing import cast

import numpy as np

from tidecast.connection import connect
from tidecast.connection.known_stream import read_known_stream
from tidecast.connection.partitions import newest_entries
from tidecast.doctor.finding import Case, Finding
from tidecast.errors import ModelError, StateError, StoreError
from tidecast.models.known.inputs import KnownInputs
from tidecast.models.known.values import LATEST, KnownValues
from tidecast.wire import DeadLetter, layout_of
from tidecast.wire.known import known_keys
from tidecast.wire.state_head import StateHead

RECENT_MS = 3_600_000
COUNTED = 100  # most rejected entries that are counted
NAMED = 5  # most series that are named


def rejected(case: Case) -> Iterator[Finding]:
    """Check that no recent entries of known values were rejected."""
    key = known_keys(case.settings.namespace)[1]
    since = case.server_ms() - RECENT_MS
    letters = list(newest_entries(case.redis, key, COUNTED, since))
    if letters:
        newest = DeadLetter.decode(*letters[0])
        number = f"{COUNTED} or more" if len(letters) == COUNTED else str(len(letters))
        problem = f"entries of known values rejected within the hour (stream {key}): {number}"
        yield Finding("known_rejected", "warning", problem, f"the newest: {newest.detail}; `tidecast dead` lists them")


def missing(case: Case) -> Iterator[Finding]:
    """Check that the models that read known values have those for all steps of the next forecast."""
    inputs = dict(_inputs(case))
    if not inputs:
        return
    with connect(case.settings) as redis:  # apart: it reads pages as flat lists
        values = read_known_stream(redis, case.settings)
    lacking: dict[int, list[str]] = {}  # by the first step without values
    for series, its in sorted(inputs.items()):
        if (step := _first_without(case, series, its, values)) is not None:
            lacking.setdefault(step, []).append(series)
    now = lacking.pop(1, [])
    if now:
        problem = f"{len(now)} series lack the known values for their next reading: {_named(now)}"
        remedy = "push the values ahead with `client.push_known`; until then these series are forecast without them"
        yield Finding("known_missing", "warning", problem, remedy)
    if lacking:
        soon = sorted(series for each in lacking.values() for series in each)
        steps = case.settings.series.horizon
        problem = f"the known values of {len(soon)} series end before step {min(lacking)} of {steps}: {_named(soon)}"
        remedy = "push them at least `series.horizon` steps ahead; the steps after the end are forecast without them"
        yield Finding("known_ending", "warning", problem, remedy)


def _inputs(case: Case) -> Iterator[tuple[str, KnownInputs]]:
    """Yield the series whose champion has known inputs; `champions` reports those that cannot be read."""
    try:
        served = case.store.served()
    except (StoreError, OSError, ValueError, LookupError, TypeError):
        return
    for series in served:
        try:
            header = case.store.header(series, case.store.champion(series) or 0)
        except (ModelError, StoreError, OSError):
            continue
        if header.spec.known:
            yield series, KnownInputs.of(header)


def _named(series: list[str]) -> str:
    return ", ".join(series[:NAMED]) + (", …" if len(series) > NAMED else "")


def _first_without(case: Case, series: str, inputs: KnownInputs, values: KnownValues) -> int | None:
    """Return the first step of the next forecast for which a series lacks a value; None if it lacks none."""
    keys = layout_of(case.settings).keys_for(series)
    head = cast("bytes | None", case.redis.hget(keys.state, series))
    try:
        last_ts = int(StateHead.decode(head).window.last_ts) if head else None
    except StateError:
        return None  # reported by `state`
    if last_ts is None:
        return None
    steps = np.arange(1, case.settings.series.horizon + 1)
    times = last_ts + np.rint(inputs.step_ms * steps).astype(np.int64)
    missing = np.isnan(inputs.look_up(values, series, times, LATEST)).any(axis=1)
    return int(steps[np.argmax(missing)]) if missing.any() else None
