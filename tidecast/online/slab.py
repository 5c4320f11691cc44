"""The stacked models of one shape, and the forecasts that their experts make of many series in one call."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Float, Float32, Int64
from tidecast.models.experts import EXPERTS, LINEAR, LINEAR_KNOWN, LSTM
from tidecast.models.gross_errors import Limits
from tidecast.models.inputs import Inputs, active_cycles, calendar_inputs
from tidecast.models.known.inputs import KnownInputs
from tidecast.models.model import MOST_SEASONS, Models, NewestRows, SeasonProfiles, network_seasons
from tidecast.models.own_model import OwnModel
from tidecast.models.spec import Spec
from tidecast.online.kernels.linear import StackedExperts
from tidecast.online.kernels.networks.inputs import prepare
from tidecast.online.kernels.networks.threads import Threads, linear_answers
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.online.kernels.rows import Rows
from tidecast.online.known_rows import KnownAhead, KnownLookup, lacks_newest, lacks_terms, with_known
from tidecast.online.memory import populate

ROBUST = EXPERTS.index("linear_robust")
_STACKED = (  # the parts of a slab that hold a row for each model, beside the weights
    "change_scale",
    "_center",
    "_scale",
    "season_lengths",
    "_calendar",
    "_step",
    "_lags",
    "_columns",
    "_coefficients",
    "_bias",
    "_needs",
)
# The network's shape, the numbers of a row, the known inputs, the panel's terms, its experts among the linear ones.
Key = tuple[Spec | None, int, tuple[str, ...], int, tuple[int, ...]]


@dataclass(slots=True)
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
    newest: NewestRows | None  # of its history
    online: Int64 | None  # the numbers of an `ONLINE` after its history
    own: OwnModel | None  # an expert of the user's own
    profiles: SeasonProfiles | None  # of its long seasons, after its history


class Slab:
    """The stacked models of one shape; the rows of removed models are reused."""

    def __init__(self, number: int, key: Key, threads: Threads) -> None:
        spec, columns, known, terms, experts = key
        self.number = number
        self.spec = spec
        self.known = known
        self._lookups: dict[int, KnownLookup] = {}  # by row
        self._threads = threads
        self._center = np.zeros((0, columns))
        self._scale = np.ones((0, columns))
        self._calendar = np.zeros((0, len(spec.calendar) if spec else 0))
        self._step = np.ones((0,))
        self.change_scale = np.ones((0,))
        self.season_lengths = np.zeros((0, MOST_SEASONS), np.int64)
        self._layout = WeightLayout(spec) if spec else None
        self._weights = self._layout.slab(0) if self._layout else np.zeros((0, 0), np.float32)
        self._experts = np.array(experts, np.int64)
        self._lags = np.zeros((0, terms), np.int16)
        self._columns = np.zeros((0, terms), np.int16)
        self._coefficients = np.zeros((0, len(experts), terms))
        self._bias = np.zeros((0, len(experts)))
        self._needs = np.zeros((0, len(experts)), np.int16)
        self._free: list[int] = []

    def put(self, models: Models, own: Sequence[int | None], growth: float = 1.0) -> list[int]:
        """Write models into rows; return these rows.

        Args:
            models: models of the slab's shape.
            own: for each a row that it may overwrite; None: it needs a free one.
            growth: the expected growth factor of the number of all models.
        """
        needed = own.count(None)
        if needed > len(self._free):
            self._grow(needed - len(self._free), growth)
        rows = [self._free.pop() if row is None else row for row in own]
        if rows == [*range(rows[0], rows[0] + len(rows))]:
            self._write(rows[0], models)
        else:
            for place, row in enumerate(rows):
                self._write(row, Models.of(models.model(place)))
        return rows

    def _write(self, first: int, models: Models) -> None:
        """Write models into the rows from `first` on."""
        at = slice(first, first + len(models.headers))
        if self._layout:
            self._layout.write(self._weights[at], models.weights)
        headers = models.headers
        panel = models.panel
        self._center[at] = [header.center for header in headers]
        self._scale[at] = [header.scale for header in headers]
        self.change_scale[at] = [header.change_scale for header in headers]
        self.season_lengths[at] = [network_seasons(header.seasons, MOST_SEASONS) for header in headers]
        if self.spec and self.spec.calendar:
            self._calendar[at] = [active_cycles(self.spec, header.calendar) for header in headers]
        self._step[at] = [header.step_ms for header in headers]
        if self.known:
            self._lookups |= {row: KnownLookup(KnownInputs.of(header)) for row, header in enumerate(headers, first)}
        self._lags[at] = panel.lags
        self._columns[at] = panel.columns
        self._coefficients[at] = panel.coefficients[:, self._experts]
        self._bias[at] = panel.bias[:, self._experts]
        self._needs[at] = panel.needs[:, self._experts]

    def lookup_of(self, row: int) -> KnownLookup | None:
        """Return the known inputs of the model in a row; None: it has none."""
        return self._lookups.get(row)

    def release(self, row: int) -> None:
        """Free the row for another model."""
        self._free.append(row)

    def predict(self, models: Int64, rows: Rows, next_ts: Int64, known: KnownAhead | None = None) -> Float:
        """Return the forecasts of the last value, the linear experts and the own networks: `(n, experts)`.

        Args:
            models: `(n,)` the row of each series' model.
            rows: the newest rows of each series, with or without the known inputs.
            next_ts: `(n,)` the time to forecast, epoch milliseconds.
            known: where the known inputs are looked up if the rows lack them; None: they are not known.
        """
        if self.known:
            return self._predict_known(models, rows, next_ts, known)
        return self._predict(models, rows, next_ts)

    def _predict_known(self, models: Int64, rows: Rows, next_ts: Int64, known: KnownAhead | None) -> Float:
        """Forecast with known inputs; NaN for the experts that read an input which is not known."""
        columns = self._center.shape[1]
        if (rows.widths != columns).any():
            rows = with_known(rows, [self._lookups[row] for row in models.tolist()], next_ts, known)
        forecasts = self._predict(models, rows, next_ts)
        first = columns - len(self.known)
        lags = self._lags[models].astype(np.int64)
        read = self._columns[models].astype(np.int64)
        for place in np.flatnonzero(self._experts == LINEAR_KNOWN - LINEAR.start).tolist():
            used = (self._coefficients[models, place] != 0) & (read >= first)
            forecasts[lacks_terms(rows, lags, read, used), LINEAR_KNOWN] = np.nan
        forecasts[lacks_newest(rows, first), LSTM] = np.nan
        return forecasts

    def _predict(self, models: Int64, rows: Rows, next_ts: Int64) -> Float:
        experts = StackedExperts(self._experts, self._lags, self._columns, self._coefficients, self._bias, self._needs)
        forecasts = np.full((len(models), len(EXPERTS)), np.nan)
        forecasts[:, :LSTM] = linear_answers(rows, models, experts)
        if self.spec and self._layout:
            full = np.flatnonzero(rows.held >= self.spec.window)
            if len(full):
                chosen = models[full]
                prepared = self._inputs(self.spec, chosen, rows.chosen(full), forecasts[full, ROBUST], next_ts[full])
                forecasts[full, LSTM] = network_forecasts(self._threads, prepared, self._weights, chosen, self._layout)
        return forecasts

    def _inputs(self, spec: Spec, models: Int64, rows: Rows, linear: Float, next_ts: Int64) -> Inputs:
        calendar = None
        if spec.calendar:
            calendar = calendar_inputs(spec, self._calendar[models], next_ts, self._step[models])
        scaler = self._center[models], self._scale[models]
        seasons = np.ascontiguousarray(self.season_lengths[models, : spec.seasonal])
        return prepare(rows, spec, scaler, seasons, linear, calendar)

    def _grow(self, least: int, growth: float) -> None:
        old = len(self._center)
        expected = math.ceil(old * (growth - 1))
        more = max(8, least, old // 2, expected)  # unwritten rows take no memory
        self._free += range(old + more - 1, old - 1, -1)
        for name in _STACKED:
            setattr(self, name, _longer(getattr(self, name), more))
        if self._layout:
            weights = self._layout.slab(old + more)
            if more == expected:
                populate(weights)
            weights[:old] = self._weights
            self._weights = weights


def network_forecasts(threads: Threads, prepared: Inputs, slab: Float32, rows: Int64, layout: WeightLayout) -> Float:
    """Return the networks' forecasts from prepared windows, `(n,)`, in each series' unit."""
    return prepared.restore(threads.answers(prepared.x, slab, rows, layout))


def _longer(stacked: NDArray[Any], more: int) -> NDArray[Any]:
    longer = np.zeros((len(stacked) + more, *stacked.shape[1:]), stacked.dtype)
    longer[: len(stacked)] = stacked
    return longer
