"""What a trained series model is, and the file it lives in: weights only, every byte checked.

A file is `safetensors` with one JSON header. Nothing in it is executed, and nothing larger than the file is allocated.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save

from tidecast.errors import ModelError
from tidecast.models import lstm, time_grid
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, LSTM, SHARED, TERMS, Panel
from tidecast.models.inputs import Inputs, calendar_inputs, cycles_borne, network_inputs, rows_read
from tidecast.models.spec import Cycle, Spec

FORMAT = 3
MAX_FILE_BYTES = 256 * 2**20  # a hundred times the largest spec that the trainer offers
MAX_SEASON = 1024  # rows: more than that no window holds
HEADER, CHECKSUM = "tidecast", "blake2b"
_PANEL = {  # the panel's arrays in a file
    "panel.lags": np.int64,
    "panel.columns": np.int64,
    "panel.coefficients": np.float64,
    "panel.bias": np.float64,
    "panel.needs": np.int64,
    "panel.errors": np.float64,
}
_TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scores(_Frozen):
    """One contestant's rolling one-step errors over the same rows, in the series' unit."""

    mae: float
    rmse: float
    mase: float | None = None  # MAE over the training part's last-value MAE (Hyndman & Koehler 2006)


class Evidence(_Frozen):
    """Why a version was published, or was not: errors on the held-out tail and the verdict drawn from them."""

    rows: int  # how many forecasts were scored
    season: int | None  # the season length in rows that the seasonal naive used
    scores: dict[str, Scores]  # by contestant: model, last_value, seasonal_naive, champion
    skill: float  # 1 - MAE / MAE of the last value
    verdict: str  # published, or refused and why


class Header(_Frozen):
    """Everything in a model file but its weights."""

    format: int = FORMAT
    series: str
    spec: Spec
    step_ms: float = Field(gt=0)
    gridded: bool = True  # False: its readings come at no regular step, and each one is a row
    seasons: tuple[int, ...] = Field((), max_length=4)  # season lengths in rows, the most marked first
    calendar: tuple[Cycle, ...] = ()  # the cycles of the calendar that its history bears
    network: bool = True  # False: its history bore no network, the linear experts answer alone
    shared: str | None = None  # the cohort whose network is one of its experts
    change_scale: float = Field(1.0, gt=0)  # the mean of |d - median d| of the changes learned from
    center: tuple[float, ...]
    scale: tuple[float, ...]
    level: float = Field(gt=0, lt=1)  # of the interval
    half_width: float = Field(ge=0)  # of the interval at that level, on the held-out tail
    largest_move: float = Field(0.0, ge=0)  # the usual largest; 0: not known
    known: tuple[float, float] | None = None  # the values of its history lie between these, but for a few strays
    span: tuple[int, int]  # epoch milliseconds of the first and last reading trained on
    judged: tuple[int, int] = (0, 0)  # of the first and last reading of the tail that judged it
    evidence: Evidence
    training: dict[str, float | int | str | bool | None] = {}
    curves: dict[str, tuple[float, ...]] = {}  # by name, a loss for each epoch
    libraries: dict[str, str] = {}
    created_ms: int = 0
    parent: int | None = None  # the version whose weights it started from

    @model_validator(mode="after")
    def _scaler_fits(self) -> Self:
        width = len(self.spec.features)
        if (len(self.center), len(self.scale)) != (width, width) or min(self.scale) <= 0:
            raise ValueError(f"the scaler needs {width} centers and {width} positive scales")
        if any(not 2 <= season <= MAX_SEASON for season in self.seasons):
            raise ValueError(f"a season has 2 to {MAX_SEASON} rows")
        return self


@dataclass(frozen=True, slots=True)
class Model:
    """A trained series model: `header` says what it is, `weights` are float32 arrays named by `Spec.shapes`.

    `weights` are empty where the header says that there is no network.
    """

    header: Header
    weights: Mapping[str, lstm.Array]
    panel: Panel = field(default_factory=Panel.naive)

    @property
    def spec(self) -> Spec:
        """The network's shape."""
        return self.header.spec

    @property
    def network_rows(self) -> int:
        """How many rows the network reads, those of its seasonal inputs included; 0 where there is none."""
        return rows_read(self.spec, network_seasons(self.header.seasons, self.spec)) if self.header.network else 0

    @property
    def rows(self) -> int:
        """How many rows its experts read at most, the cohort's network left out."""
        return max(self.panel.rows, self.network_rows)

    def rows_with(self, shared: "Model | None") -> int:
        """How many rows all its experts read, those of its cohort's network included."""
        return max(
            self.rows, rows_read(shared.spec, network_seasons(self.header.seasons, shared.spec)) if shared else 0
        )

    def answers(
        self,
        rows: time_grid.Float,
        held: NDArray[np.int64],
        shared: "Model | None" = None,
        newest: NDArray[np.int64] | None = None,
    ) -> time_grid.Float:
        """What every expert says to each window: `(n, experts)`, NaN where one cannot answer.

        Args:
            rows: `(n, rows, features)`, newest last.
            held: `(n,)` how many of the rows are real; those before them may be anything.
            shared: the network of the series' cohort.
            newest: `(n,)` epoch milliseconds of the newest rows; None: no network knows the calendar.
        """
        found = np.full((len(rows), len(EXPERTS)), np.nan)
        found[:, :LSTM] = self.panel.answers(rows, held)
        if self.header.network and rows.shape[1] >= self.spec.window:
            full = held >= self.spec.window
            found[full, LSTM] = self.forecast(rows[full], held[full], None if newest is None else newest[full])
        if shared and rows.shape[1] >= shared.spec.window:
            full = held >= shared.spec.window
            seasons = np.tile(network_seasons(self.header.seasons, shared.spec), (full.sum(), 1))
            size = np.full(full.sum(), self.header.change_scale)
            found[full, SHARED] = shared_forecast(shared, rows[full], held[full], seasons, size)
        return np.where(np.isfinite(found), found, np.nan)

    def forecast(
        self,
        rows: time_grid.Float,
        held: NDArray[np.int64] | None = None,
        newest: NDArray[np.int64] | None = None,
    ) -> time_grid.Float:
        """Forecast by the series' own network alone the next value of each window, in the series' unit.

        Args:
            rows: `(n, rows, features)`, newest last, at least `spec.window` of them.
            held: `(n,)` how many of the rows are real; all of them when left out.
            newest: `(n,)` epoch milliseconds of the newest rows; None: the network does not know the calendar.
        """
        prepared = self.inputs(rows, np.full(len(rows), rows.shape[1]) if held is None else held, newest)
        return prepared.restore(lstm.forward(prepared.x, self.weights, self.spec.activation)[..., 0])

    def inputs(self, rows: time_grid.Float, held: NDArray[np.int64], newest: NDArray[np.int64] | None = None) -> Inputs:
        """Prepare rows for the series' own network; arguments as for `forecast`."""
        n, spec = len(rows), self.spec
        return network_inputs(
            rows,
            held,
            spec,
            np.tile(network_seasons(self.header.seasons, spec), (n, 1)),
            np.tile(self.header.center, (n, 1)),
            np.tile(self.header.scale, (n, 1)),
            self.panel.answers(rows, held)[:, EXPERTS.index("linear_lad")] if spec.skip else None,
            self._calendar(newest) if spec.calendar and newest is not None else None,
        )

    def _calendar(self, newest: NDArray[np.int64]) -> time_grid.Float:
        spec, step = self.spec, self.header.step_ms
        borne = np.tile(cycles_borne(spec, self.header.calendar), (len(newest), 1))
        return calendar_inputs(spec, borne, newest + round(step), np.full(len(newest), step))


def shared_forecast(
    network: Model,
    rows: time_grid.Float,
    held: NDArray[np.int64],
    seasons: NDArray[np.int64],
    change_scale: time_grid.Float,
) -> time_grid.Float:
    """Forecast by the network of a cohort: `(n,)`, each in its series' unit; arguments as for `shared_inputs`."""
    prepared = shared_inputs(network, rows, held, seasons, change_scale)
    return prepared.restore(lstm.forward(prepared.x, network.weights, network.spec.activation)[..., 0])


def shared_inputs(
    network: Model,
    rows: time_grid.Float,
    held: NDArray[np.int64],
    seasons: NDArray[np.int64],
    change_scale: time_grid.Float,
) -> Inputs:
    """Prepare rows for the network of a cohort.

    Args:
        network: of a spec that normalises each window by itself.
        rows: `(n, rows, >= 1)`, newest last, at least the network's window; only the target is read.
        held: `(n,)` how many of the rows are real.
        seasons: `(n, spec.seasonal)`, 0 where a series has none.
        change_scale: `(n,)` of each series; 0 where it is not known.
    """
    scale = change_scale[:, None]
    return network_inputs(rows[..., :1], held, network.spec, seasons, np.zeros_like(scale), scale)


def network_seasons(seasons: tuple[int, ...], spec: Spec) -> NDArray[np.int64]:
    """The seasons that a network of this spec reads, `(spec.seasonal,)`: the shorter first; 0 where there are fewer."""
    chosen = sorted(seasons[:2])[: spec.seasonal]
    return np.array([*chosen, *[0] * (spec.seasonal - len(chosen))], np.int64)


def encode(model: Model) -> bytes:
    """Write a model as bytes.

    Raises:
        ModelError: the weights are not those that the header declares.
    """
    weights = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in model.weights.items()}
    arrays = weights | {
        name: np.ascontiguousarray(getattr(model.panel, name.removeprefix("panel.")), dtype=kind)
        for name, kind in _PANEL.items()
    }
    _check_shapes(model.header, {name: w.shape for name, w in arrays.items()}, "the model")
    header = model.header.model_dump_json()
    return save(arrays, metadata={HEADER: header, CHECKSUM: _checksum(header, arrays)})


def load(path: Path) -> Model:
    """Read a model file; nothing in it is trusted before it is checked.

    Raises:
        ModelError: it is absent, truncated, altered, of another format, or its weights do not fit its spec.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a Tidecast model: remove it")
        # Not tensor by tensor, which maps the file and took twice as long: champions are loaded while readings wait.
        content = path.read_bytes()
        parts = dict(deserialize(content))
    except (OSError, SafetensorError) as exc:
        raise ModelError(f"{path}: not a whole model file ({exc}): publish the series again") from exc
    metadata = _metadata(content)
    header = _header(metadata, path)
    _check_shapes(header, {name: tuple(part["shape"]) for name, part in parts.items()}, str(path))
    arrays = {name: _array(name, part, path) for name, part in parts.items()}
    if _checksum(metadata[HEADER], arrays) != metadata.get(CHECKSUM):
        raise ModelError(f"{path}: its checksum does not match, the file was altered: publish the series again")
    panel = Panel(**{part.name: arrays.pop(f"panel.{part.name}") for part in fields(Panel)})
    _check_panel(panel, header, path)
    return Model(header, arrays, panel)


def _metadata(content: bytes) -> Mapping[str, str]:
    """What stands beside the tensors in the JSON that a `safetensors` file begins with, which was found whole."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata: Mapping[str, str] = json.loads(content[8:end]).get("__metadata__") or {}
    return metadata


def _array(name: str, part: Mapping[str, Any], path: Path) -> NDArray[Any]:
    kind = _PANEL.get(name, np.float32)
    if _TYPES.get(part["dtype"]) is not kind:
        raise ModelError(f"{path}: weight {name} is of type {part['dtype']}, not {np.dtype(kind).name}: train it again")
    return np.frombuffer(part["data"], kind).reshape(part["shape"])


def load_header(path: Path) -> Header:
    """Read what a model file says of itself, without its weights.

    Raises:
        ModelError: as `load`, save for what only the weights can show.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return _header(file.metadata() or {}, path)
    except (OSError, SafetensorError) as exc:
        raise ModelError(f"{path}: not a whole model file ({exc}): publish the series again") from exc


def _header(metadata: Mapping[str, str], path: Path) -> Header:
    if HEADER not in metadata:
        raise ModelError(f"{path}: no {HEADER!r} header, not a Tidecast model: remove it")
    try:
        header = Header.model_validate_json(metadata[HEADER])
    except ValidationError as exc:
        _check_format(metadata[HEADER], path)  # of another format it need not make sense to this one
        raise _bad_header(path, exc) from exc
    if header.format != FORMAT:
        raise _other_format(path, header.format)
    return header


class _Format(BaseModel):
    format: int


def _check_format(header: str, path: Path) -> None:
    try:
        found = _Format.model_validate_json(header).format
    except ValidationError as exc:
        raise _bad_header(path, exc) from exc
    if found != FORMAT:
        raise _other_format(path, found)


def _bad_header(path: Path, exc: ValidationError) -> ModelError:
    first = exc.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return ModelError(f"{path}: bad header, {where}: {first['msg']}: publish the series again")


def _other_format(path: Path, found: int) -> ModelError:
    return ModelError(f"{path}: model format {found}, this program reads {FORMAT}: upgrade the older one")


def _check_shapes(header: Header, found: Mapping[str, tuple[int, ...]], where: str) -> None:
    terms = found.get("panel.lags", (0,))
    size = len(LINEAR)
    expected: dict[str, tuple[int, ...]] = header.spec.shapes() if header.network else {}
    expected |= {"panel.lags": terms, "panel.columns": terms, "panel.coefficients": (size, *terms)}
    expected |= {"panel.bias": (size,), "panel.needs": (size,), "panel.errors": (len(HALF_LIVES), len(EXPERTS))}
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{where}: weight {name} is {found.get(name)}, its spec says {expected.get(name)}: train it again"
            )
    if len(terms) != 1 or terms[0] % TERMS or not terms[0]:
        raise ModelError(f"{where}: its panel has {terms} terms, not a multiple of {TERMS}: train it again")


def _check_panel(panel: Panel, header: Header, path: Path) -> None:
    """Refuse a panel that would read rows or columns that no window has."""
    sound = (
        _within(panel.lags, 2 * MAX_SEASON)
        and _within(panel.columns, len(header.spec.features) - 1)
        and _within(panel.needs, 2 * MAX_SEASON + 1)
        and np.isfinite(panel.coefficients).all()
        and np.isfinite(panel.bias).all()
        and not (panel.errors < 0).any()
    )
    if not sound:
        raise ModelError(f"{path}: its panel reads rows or columns that no series has: train it again")


def _within(numbers: NDArray[np.int64], most: int) -> bool:
    return bool(numbers.min() >= 0 and numbers.max() <= most)


def _checksum(header: str, weights: Mapping[str, lstm.Array]) -> str:
    digest = hashlib.blake2b(header.encode(), digest_size=32)  # half the time of SHA-256
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()
