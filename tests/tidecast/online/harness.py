"""Batches of entries for a forecaster, and its answers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.engine import Engine
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.rows import Rows
from tidecast.online.slab import ModelSlot
from tidecast.settings import SeriesSettings
from tidecast.wire import Forecast

NOW_MS = 1_700_000_000_000
SETTINGS = SeriesSettings()
SPEC = Spec(window=4, units=3)
CLOSE = 1e-5  # how far the compiled network may be from its definition
HOUR_MS = 3_600_000
BEGUN_MS = 1_600_000_000_000


class PredictionRequest(NamedTuple):
    """The newest rows of a series, from which its experts forecast."""

    slot: ModelSlot | None
    shared: str | None
    rows: Float  # (held, features)
    next_ts: int  # epoch milliseconds


def predict(engine: Engine, asked: Sequence[PredictionRequest]) -> Float:
    """Return all experts' forecasts, `(asked, experts)`."""
    next_ts = np.array([request.next_ts for request in asked], np.int64)
    requests = engine.requests(
        [request.slot for request in asked], Rows.of([request.rows for request in asked]), next_ts
    )
    requests.cohorts[:] = [engine.cohort_number(request.shared) for request in asked]
    return engine.predict(requests)


def entries_of(values: Sequence[float], series: str = "a", first: int = 0) -> list[Entry]:
    """Return the values as entries of the stream; the first is that of hour `first`."""
    times = [BEGUN_MS + (first + i) * HOUR_MS for i in range(len(values))]
    return [
        (f"{ts}-0", {b"series": series.encode(), b"value": repr(float(y)).encode(), b"ts": b"%d" % ts})
        for ts, y in zip(times, values, strict=True)
    ]


def outcome_of(forecaster: Forecaster, values: Sequence[float], series: str = "a", first: int = 0) -> BatchResult:
    """Handle the values as one batch."""
    entries = entries_of(values, series, first)
    return forecaster.handle(entries, BEGUN_MS + (first + len(values)) * HOUR_MS)


def answers_to(forecaster: Forecaster, values: Sequence[float], first: int = 0) -> list[Forecast]:
    """Return the forecasts that the values of series `a` caused, in their order."""
    return [*outcome_of(forecaster, values, first=first).forecasts]


def entry(n: int, series: str = "a", value: object = 1.0, **fields: object) -> Entry:
    """Return the n-th entry, a second after the one before unless set otherwise."""
    named = {"series": series, "value": value, "ts": n * 1000, **fields}
    return f"{n}-0", {name.encode(): str(v).encode() for name, v in named.items() if v is not None}


def forecaster_with(*models: Model, settings: SeriesSettings = SETTINGS, shared: Model | None = None) -> Forecaster:
    """Return a forecaster with these champions, and the network of a cohort."""
    forecaster = Forecaster(settings)
    if shared:
        forecaster.set_shared_network(shared.header.series, shared)
    for model in models:
        forecaster.set_model(model.header.series, 1, model)
    return forecaster


def ask(forecaster: Forecaster, *entries: Entry) -> BatchResult:
    """Handle one batch."""
    return forecaster.handle(entries, NOW_MS)


def only(outcome: BatchResult) -> Forecast:
    """Return the one forecast of a batch."""
    (forecast,) = outcome.forecasts
    return forecast


def noise(count: int, seed: int = 0) -> Float:
    """Errors of one size."""
    return np.random.default_rng(seed).normal(size=count)
