"""The stacked experts: what every model of many series answers, in one call for each shape.

All models of one shape lie in one slab of stacked arrays; a batch gathers the rows it needs, runs the linear experts
of `tidecast/experts.py` as one weighted sum and the networks as the LSTM of `tidecast/lstm.py`. The network that a
cohort shares runs once over the windows of all its series. A forecast does not depend on what else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast import lstm
from tidecast.experts import EXPERTS, LINEAR, LSTM, SHARED, linear_answers
from tidecast.inputs import calendar_inputs, cycles_borne, network_inputs, rows_read
from tidecast.model import Model, network_seasons, shared_forecast
from tidecast.spec import Spec
from tidecast.windows import Float

ROWS_AT_ONCE = 256  # bounds the gathered weights to some tens of megabytes
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

    key: Key
    row: int
    version: int
    features: tuple[str, ...]
    step_ms: float
    gridded: bool
    rows: int  # how many rows its own experts read at most
    seasons: tuple[int, ...]
    half_width: float
    errors: Float  # (records, experts) to begin with
    shared: str | None
    trained_until: int  # epoch milliseconds: errors on readings up to then are no record of it
    created_ms: int  # epoch milliseconds


@dataclass(frozen=True, slots=True)
class Question:
    """A series' newest rows, for its experts to answer."""

    seat: Seat | None  # None: no model yet
    shared: str | None  # the cohort whose network shall answer too
    rows: Float  # (held, features)
    next_ts: int  # epoch milliseconds of what is asked for


class Engine:
    """Champions by series, stacked by shape, and the networks that cohorts share."""

    def __init__(self) -> None:
        self._slabs: dict[Key, Slab] = {}
        self._seats: dict[str, Seat] = {}
        self._shared: dict[str, Model] = {}

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def made_ms(self) -> list[int]:
        """When each champion was made, epoch milliseconds."""
        return [seat.created_ms for seat in self._seats.values()]

    def seat(self, series: str) -> Seat | None:
        """Where the series' champion sits, None if it has none."""
        return self._seats.get(series)

    def put(self, series: str, version: int, model: Model) -> None:
        """Let this model answer for the series from the next call on."""
        header, old = model.header, self._seats.get(series)
        key = (model.spec if header.network else None, len(model.spec.features), len(model.panel.lags))
        slab = self._slabs.setdefault(key, Slab(*key))
        row = old.row if old and old.key == key else None
        if old and row is None:
            self._slabs[old.key].release(old.row)
        self._seats[series] = Seat(
            key,
            slab.put(model, row),
            version,
            model.spec.features,
            header.step_ms,
            header.gridded,
            model.rows,
            header.seasons,
            header.half_width,
            model.panel.errors,
            header.shared,
            header.span[1],
            header.created_ms,
        )

    def put_shared(self, cohort: str, model: Model) -> None:
        """Let this network answer for the series of a cohort from the next call on."""
        self._shared[cohort] = model

    def drop(self, series: str) -> None:
        """Forget the series' champion."""
        seat = self._seats.pop(series, None)
        if seat:
            self._slabs[seat.key].release(seat.row)

    def cohort_of(self, step_ms: float | None, target: str) -> str | None:
        """The cohort that a series of this step without a model belongs to, if there is one."""
        for cohort, model in self._shared.items():
            of = model.header
            if step_ms and of.spec.target == target and abs(step_ms - of.step_ms) <= SAME_STEP * of.step_ms:
                return cohort
        return None

    def rows_of(self, seat: Seat | None, cohort: str | None) -> int:
        """How many rows of a series all its experts read, those of its cohort's network included."""
        network = self._shared.get(cohort) if cohort else None
        own = seat.rows if seat else 1
        if network is None:
            return own
        return max(own, rows_read(network.spec, network_seasons(seat.seasons if seat else (), network.spec)))

    def answers(self, questions: Sequence[Question]) -> Float:
        """Let every expert forecast the next value: `(questions, experts)`, NaN where one cannot.

        The same series may ask many times.
        """
        found = np.full((len(questions), len(EXPERTS)), np.nan)
        groups: dict[Key | None, list[int]] = {}
        for i, question in enumerate(questions):
            groups.setdefault(question.seat.key if question.seat else None, []).append(i)
        for key, wanted in groups.items():
            for part in _pieces(wanted):
                asked = [questions[i] for i in part]
                if key is None:
                    found[part, 0] = [question.rows[-1, 0] for question in asked]
                else:
                    found[part] = self._slabs[key].answers(asked)
        self._answer_shared(questions, found)
        return np.where(np.isfinite(found), found, np.nan)

    def _answer_shared(self, questions: Sequence[Question], found: Float) -> None:
        cohorts: dict[str, list[int]] = {}
        for i, question in enumerate(questions):
            network = self._shared.get(question.shared) if question.shared else None
            if question.shared and network and len(question.rows) >= network.spec.window:
                cohorts.setdefault(question.shared, []).append(i)
        for cohort, wanted in cohorts.items():
            for part in _pieces(wanted):
                found[part, SHARED] = self._shared_answers(self._shared[cohort], [questions[i] for i in part])

    def _shared_answers(self, network: Model, asked: Sequence[Question]) -> Float:
        """What a cohort's network says; a series without a model has neither seasons nor a change scale for it."""
        seats = [question.seat for question in asked]
        seasons = np.stack([network_seasons(seat.seasons if seat else (), network.spec) for seat in seats])
        scale = np.array([self._slabs[seat.key].change_scale[seat.row] if seat else 0.0 for seat in seats])
        rows, held = _packed([question.rows[:, :1] for question in asked], rows_read(network.spec, seasons))
        return shared_forecast(network, rows, held, seasons, scale)


class Slab:
    """The stacked models of one shape; rows are reused."""

    def __init__(self, spec: Spec | None, features: int, terms: int) -> None:
        self.spec = spec
        self._center = np.zeros((0, features))
        self._scale = np.ones((0, features))
        self._seasons = np.zeros((0, spec.seasonal if spec else 0), np.int64)
        self._calendar = np.zeros((0, len(spec.calendar) if spec else 0))
        self._step = np.ones((0,))
        self.change_scale = np.ones((0,))
        self._weights: dict[str, lstm.Array] = {
            name: np.zeros((0, *shape), np.float32) for name, shape in (spec.shapes() if spec else {}).items()
        }
        linear = len(LINEAR)
        self._lags = np.zeros((0, terms), np.int64)
        self._columns = np.zeros((0, terms), np.int64)
        self._coefficients = np.zeros((0, linear, terms))
        self._bias = np.zeros((0, linear))
        self._needs = np.zeros((0, linear), np.int64)
        self._free: list[int] = []

    def put(self, model: Model, row: int | None = None) -> int:
        """Write a model into `row`, or into a free one; returns the row."""
        if row is None:
            if not self._free:
                self._grow()
            row = self._free.pop()
        for name, stacked in self._weights.items():
            stacked[row] = model.weights[name]
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
        seats = [question.seat for question in asked if question.seat]
        rows, held = _packed([question.rows for question in asked], max(seat.rows for seat in seats))
        chosen = np.array([seat.row for seat in seats])
        panel = (part[chosen] for part in (self._lags, self._columns, self._coefficients, self._bias, self._needs))
        found = np.full((len(asked), len(EXPERTS)), np.nan)
        found[:, :LSTM] = linear_answers(rows, held, *panel)
        if self.spec:
            full = np.flatnonzero(held >= self.spec.window)
            if len(full):
                next_ts = np.array([question.next_ts for question in asked])[full]
                linear = found[full, LAD]
                found[full, LSTM] = self._networks(self.spec, chosen[full], rows[full], held[full], linear, next_ts)
        return found

    def _networks(self, spec: Spec, chosen: Int64, rows: Float, held: Int64, linear: Float, next_ts: Int64) -> Float:
        calendar = None
        if spec.calendar:
            calendar = calendar_inputs(spec, self._calendar[chosen], next_ts, self._step[chosen])
        prepared = network_inputs(
            rows, held, spec, self._seasons[chosen], self._center[chosen], self._scale[chosen], linear, calendar
        )
        weights = {name: stacked[chosen] for name, stacked in self._weights.items()}
        return prepared.restore(lstm.forward(prepared.x, weights, spec.activation)[:, 0])

    def _grow(self) -> None:
        old = len(self._center)
        more = max(8, old // 2)
        self._free += range(old + more - 1, old - 1, -1)
        for name in _STACKED:
            setattr(self, name, _longer(getattr(self, name), more))
        self._weights = {name: _longer(stacked, more) for name, stacked in self._weights.items()}


def _longer(stacked: NDArray[Any], more: int) -> NDArray[Any]:
    return np.concatenate([stacked, np.zeros((more, *stacked.shape[1:]), stacked.dtype)])


def _pieces(wanted: list[int]) -> list[list[int]]:
    return [wanted[start : start + ROWS_AT_ONCE] for start in range(0, len(wanted), ROWS_AT_ONCE)]


def _packed(rows: Sequence[Float], count: int) -> tuple[Float, Int64]:
    """Stack the newest `count` rows of each series, `(n, count, features)`, and say how many are real, `(n,)`."""
    packed = np.zeros((len(rows), count, rows[0].shape[1]))
    held = np.array([min(len(one), count) for one in rows])
    for i, (one, n) in enumerate(zip(rows, held.tolist(), strict=True)):
        packed[i, count - n :] = one[-n:]
    return packed, held
