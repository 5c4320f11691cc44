"""What a trained series model is, and the file it lives in: weights only, every byte checked.

A file is `safetensors` with one JSON header. Nothing in it is executed, and the declared shapes are compared with
the spec before anything is allocated.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tidecast import lstm, windows
from tidecast.errors import ModelError
from tidecast.wire import RESERVED

FORMAT = 1
MAX_FILE_BYTES = 256 * 2**20  # a hundred times the largest spec that the trainer offers
HEADER, CHECKSUM = "tidecast", "sha256"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spec(_Frozen):
    """The shape of a series' network: all that must be known to build it, train it or run it."""

    target: str = "value"
    features: tuple[str, ...] = ()  # the target first; filled in when left out
    window: int = Field(24, ge=2, le=1024)  # how many rows the network reads
    units: int = Field(50, ge=1, le=1024)  # per layer and direction
    layers: int = Field(1, ge=1, le=4)
    bidirectional: bool = False
    activation: lstm.Activation = "tanh"
    form: windows.Form = "change"
    loss: Literal["mae", "mse"] = "mae"

    @model_validator(mode="before")
    @classmethod
    def _target_first(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        target = data.get("target", "value")
        others = [f for f in data.get("features") or () if f != target]
        return {**data, "features": (target, *dict.fromkeys(others))}

    @field_validator("features")
    @classmethod
    def _are_fields(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        for name in features:
            if not name or not name.isprintable() or name in RESERVED:
                raise ValueError(f"{name!r} cannot be a reading's field: name the column otherwise")
        return features

    @property
    def directions(self) -> tuple[str, ...]:
        """The names of a layer's cells."""
        return ("forward", "backward") if self.bidirectional else ("forward",)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's name and shape, in the order of Keras."""
        found: dict[str, tuple[int, ...]] = {}
        width = len(self.features)
        for i in range(self.layers):
            for direction in self.directions:
                found[f"lstm.{i}.{direction}.kernel"] = (width, 4 * self.units)
                found[f"lstm.{i}.{direction}.recurrent"] = (self.units, 4 * self.units)
                found[f"lstm.{i}.{direction}.bias"] = (4 * self.units,)
            width = self.units * len(self.directions)
        return found | {"dense.kernel": (width, 1), "dense.bias": (1,)}


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
    center: tuple[float, ...]
    scale: tuple[float, ...]
    level: float = Field(gt=0, lt=1)  # of the interval
    half_width: float = Field(ge=0)  # of the interval at that level, on the held-out tail
    span: tuple[int, int]  # epoch milliseconds of the first and last reading trained on
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
        return self


@dataclass(frozen=True, slots=True)
class Model:
    """A trained series model: `header` says what it is, `weights` are float32 arrays named by `Spec.shapes`."""

    header: Header
    weights: Mapping[str, lstm.Array]

    @property
    def spec(self) -> Spec:
        """The network's shape."""
        return self.header.spec

    def forecast(self, rows: windows.Float) -> windows.Float:
        """Forecast the next value of each window: `(..., window, features)` to `(...)`, in the series' unit."""
        spec = self.spec
        center, scale = np.asarray(self.header.center), np.asarray(self.header.scale)
        x = windows.scale_windows(rows, center, scale, spec.form).astype(np.float32)
        answer = lstm.forward(x, self.weights, spec.activation)[..., 0].astype(np.float64)
        return windows.restore(answer, rows[..., -1, 0], center[0], scale[0], spec.form)


def encode(model: Model) -> bytes:
    """Write a model as bytes.

    Raises:
        ModelError: the weights are not those that the spec declares.
    """
    weights = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in model.weights.items()}
    _check_shapes(model.spec, {name: w.shape for name, w in weights.items()}, "the model")
    header = model.header.model_dump_json()
    return save(weights, metadata={HEADER: header, CHECKSUM: _checksum(header, weights)})


def load(path: Path) -> Model:
    """Read a model file; nothing in it is trusted before it is checked.

    Raises:
        ModelError: it is absent, truncated, altered, of another format, or its weights do not fit its spec.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a Tidecast model: remove it")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            header = _header(metadata, path)
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            shapes = {name: tuple(found.get_shape()) for name, found in slices.items()}
            for name, found in slices.items():
                if found.get_dtype() != "F32":
                    raise ModelError(f"{path}: weight {name} is of type {found.get_dtype()}, not F32: train it again")
            _check_shapes(header.spec, shapes, str(path))
            weights = {name: file.get_tensor(name) for name in shapes}
    except (OSError, SafetensorError) as exc:
        raise ModelError(f"{path}: not a whole model file ({exc}): publish the series again") from exc
    if _checksum(metadata[HEADER], weights) != metadata.get(CHECKSUM):
        raise ModelError(f"{path}: its checksum does not match, the file was altered: publish the series again")
    return Model(header, weights)


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
        found = _Format.model_validate_json(metadata[HEADER]).format
        if found != FORMAT:
            raise ModelError(f"{path}: model format {found}, this program reads {FORMAT}: upgrade the older one")
        return Header.model_validate_json(metadata[HEADER])
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: bad header, {where}: {first['msg']}: publish the series again") from exc


class _Format(BaseModel):
    format: int


def _check_shapes(spec: Spec, found: Mapping[str, tuple[int, ...]], where: str) -> None:
    expected = spec.shapes()
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{where}: weight {name} is {found.get(name)}, its spec says {expected.get(name)}: train it again"
            )


def _checksum(header: str, weights: Mapping[str, lstm.Array]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
