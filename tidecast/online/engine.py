"""The stacked experts: what every model of many series answers, in one call for each shape.

All models of one shape lie in one slab of stacked arrays, where the compiled loops of `kernels/forward.py` read them:
the linear experts of `models/experts.py` and the LSTM of `models/lstm.py`. The network that a cohort shares runs
over the windows of all its series. A forecast does not depend on what else is in the batch, to the last bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tidecast.models.experts import EXPERTS, LINEAR, LSTM, SHARED
from tidecast.models.gross_errors import NO_LIMITS, Limits
from tidecast.models.inputs import Inputs, calendar_inputs, cycles_borne, rows_read
from tidecast.models.model import Model, network_seasons
from tidecast.models.spec import Spec
from tidecast.models.time_grid import Float
from tidecast.online.kernels.forward import Float32
from tidecast.online.kernels.network_inputs import Rows, prepare
from tidecast.online.kernels.threads import Threads, linear_answers
from tidecast.online.weight_layout import Layout

ROWS_AT_ONCE = 1024  # bounds what is prepared at once to some tens of megabytes
SAME_STEP = 0.01  # of a step: how far two may differ and still be one
LAD = EXPERTS.index("linear_lad")
Int64 = NDArray[np.int64]
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
class Seat:
    """Where a series' champion sits in the engine, and what the forecaster must know of it."""

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
    errors: Float  # (records, experts) to begin with
    shared: str | None
    trained_until: int  # epoch milliseconds: errors on readings up to then are no record of it
    created_ms: int  # epoch milliseconds
    published: bool  # the gate chose it: it stands on trial first


@dataclass(slots=True)  # frozen, it would take four times as long to make
class Question:
    """A series' newest rows, for its experts to answer."""

    seat: Seat | None  # None: no model yet
    shared: str | None  # the cohort whose network shall answer too
    rows: Float  # (held, features)
    next_ts: int  # epoch milliseconds of what is asked for


@dataclass(frozen=True, slots=True)
class Shared:
    """A cohort's network, and its weights as the kernel reads them: a slab of one."""

    model: Model
    layout: Layout
    slab: Float32

    @classmethod
    def of(cls, model: Model) -> Self:
        """Pack a network's weights."""
        layout = Layout(model.spec)
        slab = layout.slab(1)
        layout.write(slab[0], model.weights)
        return cls(model, layout, slab)


class Engine:
    """Champions by series, stacked by shape, and the networks that cohorts share.

    Args:
        threads: how many share a batch's networks; no answer depends on it.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = Threads(threads)
        self._slabs: dict[Key, Slab] = {}
        self._seats: dict[str, Seat] = {}
        self._shadows: dict[str, Seat] = {}  # of former champions, which new ones are compared with
        self._shared: dict[str, Shared] = {}
        self._expected = 0

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def made_ms(self) -> list[int]:
        """When each champion was made, epoch milliseconds."""
        return [seat.created_ms for seat in self._seats.values()]

    def seat(self, series: str) -> Seat | None:
        """Where the series' champion sits, None if it has none."""
        return self._seats.get(series)

    def expect(self, models: int) -> None:
        """Make room at once for so many models in all: what grows by its share need not be copied again and again."""
        self._expected = models

    def shadow(self, series: str) -> Seat | None:
        """Where the series' former champion sits, None if it is not asked any more."""
        return self._shadows.get(series)

    def put(self, series: str, version: int, model: Model, *, published: bool = True) -> None:
        """Let this model answer for the series from the next call on."""
        self._put(self._seats, series, version, model, published=published)

    def put_shadow(self, series: str, version: int, model: Model) -> None:
        """Let this model answer beside the series' champion."""
        self._put(self._shadows, series, version, model, published=True)

    def _put(self, seats: dict[str, Seat], series: str, version: int, model: Model, *, published: bool) -> None:
        header, old = model.header, seats.get(series)
        key = (model.spec if header.network else None, len(model.spec.features), len(model.panel.lags))
        if key not in self._slabs:
            self._slabs[key] = Slab(*key, self._threads)
        slab = self._slabs[key]
        row = old.row if old and old.slab is slab else None
        if old and row is None:
            old.slab.release(old.row)
        seats[series] = Seat(
            slab,
            slab.put(model, row, self._expected / max(1, len(self._seats))),
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
        """Let this network answer for the series of a cohort from the next call on."""
        self._shared[cohort] = Shared.of(model)

    def drop(self, series: str) -> None:
        """Forget the series' champion."""
        _release(self._seats.pop(series, None))

    def drop_shadow(self, series: str) -> None:
        """Forget the series' former champion."""
        _release(self._shadows.pop(series, None))

    def cohort_of(self, step_ms: float | None, target: str) -> str | None:
        """The cohort that a series of this step without a model belongs to, if there is one."""
        for cohort, network in self._shared.items():
            of = network.model.header
            if step_ms and of.spec.target == target and abs(step_ms - of.step_ms) <= SAME_STEP * of.step_ms:
                return cohort
        return None

    def rows_of(self, seat: Seat | None, cohort: str | None) -> int:
        """How many rows of a series all its experts read, those of its cohort's network included."""
        network = self._shared.get(cohort) if cohort else None
        own = seat.rows if seat else 1
        if network is None:
            return own
        spec = network.model.spec
        return max(own, rows_read(spec, network_seasons(seat.seasons if seat else (), spec)))

    def answers(self, questions: Sequence[Question]) -> Float:
        """Let every expert forecast the next value: `(questions, experts)`, NaN where one cannot.

        The same series may ask many times.
        """
        found = np.full((len(questions), len(EXPERTS)), np.nan)
        groups: dict[Slab | None, list[int]] = {}
        for i, question in enumerate(questions):
            groups.setdefault(question.seat.slab if question.seat else None, []).append(i)
        for slab, wanted in groups.items():
            for part in _pieces(wanted):
                asked = [questions[i] for i in part]
                if slab is None:
                    found[part, 0] = [question.rows[-1, 0] for question in asked]
                else:
                    found[part] = slab.answers(asked)
        self._answer_shared(questions, found)
        return np.where(np.isfinite(found), found, np.nan)

    def _answer_shared(self, questions: Sequence[Question], found: Float) -> None:
        cohorts: dict[str, list[int]] = {}
        for i, question in enumerate(questions):
            network = self._shared.get(question.shared) if question.shared else None
            if question.shared and network and len(question.rows) >= network.model.spec.window:
                cohorts.setdefault(question.shared, []).append(i)
        for cohort, wanted in cohorts.items():
            for part in _pieces(wanted):
                found[part, SHARED] = self._shared_answers(self._shared[cohort], [questions[i] for i in part])

    def _shared_answers(self, network: Shared, asked: Sequence[Question]) -> Float:
        """What a cohort's network says; a series without a model has neither seasons nor a change scale for it."""
        seats, spec = [question.seat for question in asked], network.model.spec
        told = [seat.seasons if seat else () for seat in seats]
        chosen = {seasons: network_seasons(seasons, spec) for seasons in set(told)}
        seasons = np.stack([chosen[one] for one in told])
        scale = np.array([[seat.slab.change_scale[seat.row] if seat else 0.0] for seat in seats])
        rows = rows_of([question.rows[:, :1] for question in asked])
        prepared = prepare(rows, spec, (np.zeros_like(scale), scale), seasons)
        return _answered(self._threads, prepared, network.slab, np.zeros(len(asked), np.int64), network.layout)


def rows_of(windows: Sequence[Float]) -> Rows:
    """Lay windows, each `(held, features)`, one after the other."""
    held = np.array([len(one) for one in windows])
    return np.concatenate(windows), held.cumsum(), held


class Slab:
    """The stacked models of one shape; rows are reused."""

    def __init__(self, spec: Spec | None, features: int, terms: int, threads: Threads) -> None:
        self.spec = spec
        self._threads = threads
        self._center = np.zeros((0, features))
        self._scale = np.ones((0, features))
        self._seasons = np.zeros((0, spec.seasonal if spec else 0), np.int64)
        self._calendar = np.zeros((0, len(spec.calendar) if spec else 0))
        self._step = np.ones((0,))
        self.change_scale = np.ones((0,))
        self._layout = Layout(spec) if spec else None
        self._weights = self._layout.slab(0) if self._layout else np.zeros((0, 0), np.float32)
        linear = len(LINEAR)
        self._lags = np.zeros((0, terms), np.int64)
        self._columns = np.zeros((0, terms), np.int64)
        self._coefficients = np.zeros((0, linear, terms))
        self._bias = np.zeros((0, linear))
        self._needs = np.zeros((0, linear), np.int64)
        self._free: list[int] = []

    def put(self, model: Model, row: int | None = None, growth: float = 1.0) -> int:
        """Write a model into `row`, or into a free one; returns the row.

        Args:
            model: of the slab's shape.
            row: one that it may overwrite.
            growth: by how much the models in all are expected to become more.
        """
        if row is None:
            if not self._free:
                self._grow(growth)
            row = self._free.pop()
        if self._layout:
            self._layout.write(self._weights[row], model.weights)
        header, panel = model.header, model.panel
        self._center[row], self._scale[row], self.change_scale[row] = header.center, header.scale, header.change_scale
        self._seasons[row] = network_seasons(header.seasons, self.spec) if self.spec else ()
        self._calendar[row] = cycles_borne(self.spec, header.calendar) if self.spec else ()
        self._step[row] = header.step_ms
        self._lags[row], self._columns[row] = panel.lags, panel.columns
        self._coefficients[row], self._bias[row], self._needs[row] = panel.coefficients, panel.bias, panel.needs
        return row

    def release(self, row: int) -> None:
        """Let another model have the row."""
        self._free.append(row)

    def answers(self, asked: Sequence[Question]) -> Float:
        """What the last value, the linear experts and the series' own networks say: `(questions, experts)`."""
        chosen = np.array([question.seat.row for question in asked if question.seat])
        rows = values, ends, held = rows_of([question.rows for question in asked])
        panels = (self._lags, self._columns, self._coefficients, self._bias, self._needs)
        found = np.full((len(asked), len(EXPERTS)), np.nan)
        found[:, :LSTM] = linear_answers(values, ends, held, chosen, panels)
        if self.spec and self._layout:
            full = np.flatnonzero(held >= self.spec.window)
            if len(full):
                next_ts = np.array([question.next_ts for question in asked])[full]
                windows = rows if len(full) == len(asked) else (values, ends[full], held[full])
                prepared = self._prepared(self.spec, chosen[full], windows, found[full, LAD], next_ts)
                found[full, LSTM] = _answered(self._threads, prepared, self._weights, chosen[full], self._layout)
        return found

    def _prepared(self, spec: Spec, chosen: Int64, rows: Rows, linear: Float, next_ts: Int64) -> Inputs:
        calendar = None
        if spec.calendar:
            calendar = calendar_inputs(spec, self._calendar[chosen], next_ts, self._step[chosen])
        scaler = self._center[chosen], self._scale[chosen]
        return prepare(rows, spec, scaler, self._seasons[chosen], linear, calendar)

    def _grow(self, growth: float) -> None:
        old = len(self._center)
        more = max(8, old // 2, math.ceil(old * (growth - 1)))  # rows that are not written yet take no memory
        self._free += range(old + more - 1, old - 1, -1)
        for name in _STACKED:
            setattr(self, name, _longer(getattr(self, name), more))
        if self._layout:
            weights = self._layout.slab(old + more)
            weights[:old] = self._weights
            self._weights = weights


def _release(seat: Seat | None) -> None:
    if seat:
        seat.slab.release(seat.row)


def _longer(stacked: NDArray[Any], more: int) -> NDArray[Any]:
    longer = np.zeros((len(stacked) + more, *stacked.shape[1:]), stacked.dtype)
    longer[: len(stacked)] = stacked
    return longer


def _pieces(wanted: list[int]) -> list[list[int]]:
    return [wanted[start : start + ROWS_AT_ONCE] for start in range(0, len(wanted), ROWS_AT_ONCE)]


def _answered(threads: Threads, prepared: Inputs, slab: Float32, rows: Int64, layout: Layout) -> Float:
    """What networks say to prepared windows, `(n,)`, in each series' unit."""
    return prepared.restore(threads.answers(prepared.x, slab, rows, layout))
