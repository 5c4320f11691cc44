"""The models of all series, stacked by shape, so that one call per shape forecasts many series.

All models of one shape lie in one slab of stacked arrays, which the compiled loops of `kernels` read: the linear
experts of `models/experts.py` and the LSTM of `models/lstm.py`. The shared network of a cohort runs over the windows of
all its series. A forecast is the same to the last bit whatever else is in the batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Float32, Int64
from tidecast.models.cohorts import Cohort, nearest_cohort
from tidecast.models.experts import EXPERTS, LINEAR, LSTM, SHARED
from tidecast.models.gross_errors import NO_LIMITS, Limits
from tidecast.models.inputs import Inputs, active_cycles, calendar_inputs, rows_read
from tidecast.models.model import Model, network_seasons
from tidecast.models.spec import Spec
from tidecast.online.kernels.network_inputs import Rows, prepare
from tidecast.online.kernels.threads import Threads, linear_answers
from tidecast.online.weight_layout import WeightLayout

ROWS_AT_ONCE = 1024  # windows prepared at once: bounds the memory to some tens of megabytes
ROBUST = EXPERTS.index("linear_robust")
_STACKED = (  # the parts of a slab that hold a row for each model, beside the weights
    "change_scale",
    "_center",
    "_scale",
    "_seasons",
    "_calendar",
    "_step",
    "_lags",
    "_columns",
    "_coefficients",
    "_bias",
    "_needs",
)
Key = tuple[Spec | None, int, int]  # the network's shape, the features, the panel's terms


@dataclass(frozen=True, slots=True)
class ModelSlot:
    """The place of a series' champion in the engine, and its properties that the forecaster needs."""

    slab: "Slab"
    row: int
    version: int
    features: tuple[str, ...]
    step_ms: float
    gridded: bool
    rows: int  # how many rows its own experts read at most
    seasons: tuple[int, ...]
    half_width: float
    largest_move: float
    known: Limits  # the lowest and the highest value of its history
    errors: Float  # (records, experts), the experts' first errors
    shared: str | None
    trained_until: int  # epoch milliseconds: the model is not judged by readings up to then
    created_ms: int  # epoch milliseconds
    published: bool  # the gate chose it: a shadow test comes first


@dataclass(slots=True)  # not frozen: that would take four times as long to make
class PredictionRequest:
    """The newest rows of a series, from which its experts forecast."""

    slot: ModelSlot | None  # None: the series has no model yet
    shared: str | None  # the cohort whose network forecasts too
    rows: Float  # (held, features)
    next_ts: int  # epoch milliseconds, the time to forecast


@dataclass(frozen=True, slots=True)
class Shared:
    """A cohort's network, and its weights in the kernel's layout: a slab with one row."""

    model: Model
    layout: WeightLayout
    slab: Float32

    @classmethod
    def of(cls, model: Model) -> Self:
        """Pack a network's weights."""
        layout = WeightLayout(model.spec)
        slab = layout.slab(1)
        layout.write(slab[0], model.weights)
        return cls(model, layout, slab)


class Engine:
    """The champions of all series, stacked by shape, and the networks that cohorts share.

    Args:
        threads: how many threads compute a batch's networks; forecasts do not depend on it.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = Threads(threads)
        self._slabs: dict[Key, Slab] = {}
        self._slots: dict[str, ModelSlot] = {}
        self._shadows: dict[str, ModelSlot] = {}  # former champions that new ones are compared with
        self._shared: dict[str, Shared] = {}
        self._cohorts: dict[str, Cohort] = {}
        self._expected = 0

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def created_ms(self) -> list[int]:
        """Return when each champion was made, epoch milliseconds."""
        return [slot.created_ms for slot in self._slots.values()]

    def slot(self, series: str) -> ModelSlot | None:
        """Return the slot of the series' champion, None if it has no champion."""
        return self._slots.get(series)

    def expect(self, models: int) -> None:
        """Set the expected number of models, so that the slabs grow to it at once without repeated copying."""
        self._expected = models

    def shadow(self, series: str) -> ModelSlot | None:
        """Return the slot of the series' shadow, None if it has no shadow."""
        return self._shadows.get(series)

    def put(self, series: str, version: int, model: Model, *, published: bool = True) -> None:
        """Use this model to forecast the series from the next call on."""
        self._put(self._slots, series, version, model, published=published)

    def put_shadow(self, series: str, version: int, model: Model) -> None:
        """Run this model as a shadow beside the series' champion."""
        self._put(self._shadows, series, version, model, published=True)

    def _put(self, slots: dict[str, ModelSlot], series: str, version: int, model: Model, *, published: bool) -> None:
        header = model.header
        old = slots.get(series)
        key = (model.spec if header.network else None, len(model.spec.features), len(model.panel.lags))
        if key not in self._slabs:
            self._slabs[key] = Slab(*key, self._threads)
        slab = self._slabs[key]
        row = old.row if old and old.slab is slab else None
        if old and row is None:
            old.slab.release(old.row)
        slots[series] = ModelSlot(
            slab,
            slab.put(model, row, self._expected / max(1, len(self._slots))),
            version,
            model.spec.features,
            header.step_ms,
            header.gridded,
            model.rows,
            header.seasons,
            header.half_width,
            header.largest_move,
            header.known or NO_LIMITS,
            np.ascontiguousarray(model.panel.errors, np.float64),
            header.shared,
            header.span[1],
            header.created_ms,
            published,
        )

    def put_shared(self, cohort: str, model: Model) -> None:
        """Use this network to forecast the series of a cohort from the next call on."""
        self._shared[cohort] = Shared.of(model)
        self._cohorts[cohort] = Cohort.of(cohort, model.header)

    def drop(self, series: str) -> None:
        """Remove the series' champion."""
        _release(self._slots.pop(series, None))

    def drop_shadow(self, series: str) -> None:
        """Remove the series' shadow."""
        _release(self._shadows.pop(series, None))

    def cohort_of(self, step_ms: float | None, target: str) -> str | None:
        """Return the cohort that fits a series of this step without a model, None if no cohort fits."""
        cohort = nearest_cohort(target, step_ms, self._cohorts.values()) if step_ms else None
        return cohort.name if cohort else None

    def rows_of(self, slot: ModelSlot | None, cohort: str | None) -> int:
        """Return how many rows of a series its experts and its cohort's network read at most."""
        network = self._shared.get(cohort) if cohort else None
        own = slot.rows if slot else 1
        if network is None:
            return own
        spec = network.model.spec
        return max(own, rows_read(spec, network_seasons(slot.seasons if slot else (), spec)))

    def rows_without_model(self, target: str) -> int:
        """Return how many rows of a series of this target without a model any cohort's network reads at most."""
        cohorts = [name for name, cohort in self._cohorts.items() if cohort.target == target]
        return max((self.rows_of(None, name) for name in cohorts), default=1)

    def predict(self, requests: Sequence[PredictionRequest]) -> Float:
        """Return all experts' forecasts of the next value: `(requests, experts)`, NaN where an expert cannot.

        Many requests may be about the same series.
        """
        forecasts = np.full((len(requests), len(EXPERTS)), np.nan)
        groups: dict[Slab | None, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(request.slot.slab if request.slot else None, []).append(i)
        for slab, members in groups.items():
            for part in _pieces(members):
                chosen = [requests[i] for i in part]
                if slab is None:
                    forecasts[part, 0] = [request.rows[-1, 0] for request in chosen]
                else:
                    forecasts[part] = slab.predict(chosen)
        self._predict_shared(requests, forecasts)
        return np.where(np.isfinite(forecasts), forecasts, np.nan)

    def _predict_shared(self, requests: Sequence[PredictionRequest], forecasts: Float) -> None:
        cohorts: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            network = self._shared.get(request.shared) if request.shared else None
            if request.shared and network and len(request.rows) >= network.model.spec.window:
                cohorts.setdefault(request.shared, []).append(i)
        for cohort, members in cohorts.items():
            for part in _pieces(members):
                forecasts[part, SHARED] = self._cohort_forecasts(self._shared[cohort], [requests[i] for i in part])

    def _cohort_forecasts(self, network: Shared, requests: Sequence[PredictionRequest]) -> Float:
        """Return the forecasts of a cohort's network; series without a model have no seasons and no change scale."""
        slots = [request.slot for request in requests]
        spec = network.model.spec
        known_seasons = [slot.seasons if slot else () for slot in slots]
        read = {seasons: network_seasons(seasons, spec) for seasons in set(known_seasons)}
        seasons = np.stack([read[lengths] for lengths in known_seasons])
        scale = np.array([[slot.slab.change_scale[slot.row] if slot else 0.0] for slot in slots])
        rows = rows_of([request.rows[:, :1] for request in requests])
        prepared = prepare(rows, spec, (np.zeros_like(scale), scale), seasons)
        return _answered(self._threads, prepared, network.slab, np.zeros(len(requests), np.int64), network.layout)


def rows_of(windows: Sequence[Float]) -> Rows:
    """Concatenate windows, each `(held, features)`."""
    held = np.array([len(window) for window in windows])
    return np.concatenate(windows), held.cumsum(), held


class Slab:
    """The stacked models of one shape; the rows of removed models are reused."""

    def __init__(self, spec: Spec | None, features: int, terms: int, threads: Threads) -> None:
        self.spec = spec
        self._threads = threads
        self._center = np.zeros((0, features))
        self._scale = np.ones((0, features))
        self._seasons = np.zeros((0, spec.seasonal if spec else 0), np.int64)
        self._calendar = np.zeros((0, len(spec.calendar) if spec else 0))
        self._step = np.ones((0,))
        self.change_scale = np.ones((0,))
        self._layout = WeightLayout(spec) if spec else None
        self._weights = self._layout.slab(0) if self._layout else np.zeros((0, 0), np.float32)
        linear = len(LINEAR)
        self._lags = np.zeros((0, terms), np.int64)
        self._columns = np.zeros((0, terms), np.int64)
        self._coefficients = np.zeros((0, linear, terms))
        self._bias = np.zeros((0, linear))
        self._needs = np.zeros((0, linear), np.int64)
        self._free: list[int] = []

    def put(self, model: Model, row: int | None = None, growth: float = 1.0) -> int:
        """Write a model into `row`, or into a free one; return the row.

        Args:
            model: a model of the slab's shape.
            row: a row that it may overwrite.
            growth: the expected growth factor of the number of all models.
        """
        if row is None:
            if not self._free:
                self._grow(growth)
            row = self._free.pop()
        if self._layout:
            self._layout.write(self._weights[row], model.weights)
        header = model.header
        panel = model.panel
        self._center[row] = header.center
        self._scale[row] = header.scale
        self.change_scale[row] = header.change_scale
        self._seasons[row] = network_seasons(header.seasons, self.spec) if self.spec else ()
        self._calendar[row] = active_cycles(self.spec, header.calendar) if self.spec else ()
        self._step[row] = header.step_ms
        self._lags[row] = panel.lags
        self._columns[row] = panel.columns
        self._coefficients[row] = panel.coefficients
        self._bias[row] = panel.bias
        self._needs[row] = panel.needs
        return row

    def release(self, row: int) -> None:
        """Free the row for another model."""
        self._free.append(row)

    def predict(self, requests: Sequence[PredictionRequest]) -> Float:
        """Return the forecasts of the last value, the linear experts and the own networks: `(requests, experts)`."""
        models = np.array([request.slot.row for request in requests if request.slot])
        rows = values, ends, held = rows_of([request.rows for request in requests])
        panels = (self._lags, self._columns, self._coefficients, self._bias, self._needs)
        forecasts = np.full((len(requests), len(EXPERTS)), np.nan)
        forecasts[:, :LSTM] = linear_answers(values, ends, held, models, panels)
        if self.spec and self._layout:
            full = np.flatnonzero(held >= self.spec.window)
            if len(full):
                next_ts = np.array([request.next_ts for request in requests])[full]
                windows = rows if len(full) == len(requests) else (values, ends[full], held[full])
                prepared = self._prepared(self.spec, models[full], windows, forecasts[full, ROBUST], next_ts)
                forecasts[full, LSTM] = _answered(self._threads, prepared, self._weights, models[full], self._layout)
        return forecasts

    def _prepared(self, spec: Spec, models: Int64, rows: Rows, linear: Float, next_ts: Int64) -> Inputs:
        calendar = None
        if spec.calendar:
            calendar = calendar_inputs(spec, self._calendar[models], next_ts, self._step[models])
        scaler = self._center[models], self._scale[models]
        return prepare(rows, spec, scaler, self._seasons[models], linear, calendar)

    def _grow(self, growth: float) -> None:
        old = len(self._center)
        more = max(8, old // 2, math.ceil(old * (growth - 1)))  # unwritten rows take no memory
        self._free += range(old + more - 1, old - 1, -1)
        for name in _STACKED:
            setattr(self, name, _longer(getattr(self, name), more))
        if self._layout:
            weights = self._layout.slab(old + more)
            weights[:old] = self._weights
            self._weights = weights


def _release(slot: ModelSlot | None) -> None:
    if slot:
        slot.slab.release(slot.row)


def _longer(stacked: NDArray[Any], more: int) -> NDArray[Any]:
    longer = np.zeros((len(stacked) + more, *stacked.shape[1:]), stacked.dtype)
    longer[: len(stacked)] = stacked
    return longer


def _pieces(indices: list[int]) -> list[list[int]]:
    return [indices[start : start + ROWS_AT_ONCE] for start in range(0, len(indices), ROWS_AT_ONCE)]


def _answered(threads: Threads, prepared: Inputs, slab: Float32, rows: Int64, layout: WeightLayout) -> Float:
    """Return the networks' forecasts from prepared windows, `(n,)`, in each series' unit."""
    return prepared.restore(threads.answers(prepared.x, slab, rows, layout))
