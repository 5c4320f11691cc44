"""A trained series model and its file, which holds only weights and is checked completely.

A file is `safetensors` with one JSON header. Reading it executes no code, and allocates no more than the file's size.
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

from tidecast.arrays import Int64
from tidecast.errors import ModelError
from tidecast.models import lstm
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, TERMS, LinearExperts
from tidecast.models.inputs import rows_read
from tidecast.models.newest_rows import NewestRows
from tidecast.models.spec import Cycle, Spec
from tidecast.wire.state_format import ONLINE, numbers_in

FORMAT = 7  # another meaning of its numbers, those of `ONLINE` among them, raises it
MAX_FILE_BYTES = 256 * 2**20  # a hundred times the largest spec that the trainer offers
MAX_SEASON = 1024  # rows: no window holds more
MOST_SEASONS = 2  # that a network reads
HEADER, CHECKSUM = "tidecast", "blake2b"
_PANEL = {  # the panel's arrays in a file
    "panel.lags": np.int64,
    "panel.columns": np.int64,
    "panel.coefficients": np.float64,
    "panel.bias": np.float64,
    "panel.needs": np.int64,
    "panel.errors": np.float64,
}
_NEWEST = {"newest.ts": np.int64, "newest.values": np.float64, "newest.filled": np.int64}  # its newest rows, if any
_ONLINE = {"online": np.int64}
_KINDS: dict[str, Any] = _PANEL | _NEWEST | _ONLINE  # all other arrays are weights
_TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scores(_Frozen):
    """The rolling one-step errors of one contestant, in the series' unit; all contestants forecast the same rows."""

    mae: float
    rmse: float
    mase: float | None = None  # MAE over the training part's last-value MAE (Hyndman & Koehler 2006)


class Evidence(_Frozen):
    """The reasons for publishing a version or not: the errors on the held-out tail and the verdict."""

    rows: int  # number of scored forecasts
    season: int | None  # the season length in rows that the seasonal naive used
    scores: dict[str, Scores]  # by contestant: model, last_value, seasonal_naive, champion
    skill: float  # 1 - MAE / MAE of the last value
    verdict: str  # published, or refused with the reason


class Header(_Frozen):
    """Everything in a model file except its weights."""

    format: int = FORMAT
    series: str
    spec: Spec
    step_ms: float = Field(gt=0)
    gridded: bool = True  # False: its readings have no regular step, and each one is a row
    seasons: tuple[int, ...] = Field((), max_length=4)  # season lengths in rows, the strongest first
    calendar: tuple[Cycle, ...] = ()  # the calendar cycles that its history is long enough for
    network: bool = True  # False: its history was too short for a network, it has only linear experts
    shared: str | None = None  # the cohort whose network is one of its experts
    change_scale: float = Field(1.0, gt=0)  # the mean of |d - median d| over the changes in the training part
    center: tuple[float, ...]
    scale: tuple[float, ...]
    level: float = Field(gt=0, lt=1)  # of the interval
    half_width: float = Field(ge=0)  # of the interval at that level, on the held-out tail
    largest_move: float = Field(0.0, ge=0)  # the usual largest move; 0: not known
    known: tuple[float, float] | None = None  # limits of the values of its history, but for a few strays
    span: tuple[int, int]  # epoch milliseconds of the first and last reading trained on
    judged: tuple[int, int] = (0, 0)  # the same of the held-out tail that it was tested on
    evidence: Evidence
    training: dict[str, float | int | str | bool | None] = {}
    curves: dict[str, tuple[float, ...]] = {}  # loss per epoch, by name
    libraries: dict[str, str] = {}
    created_ms: int = 0
    parent: int | None = None  # the version whose weights training started from

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
    """A trained series model.

    Attributes:
        header: its description.
        weights: float32, by the names of `Spec.shapes`; empty if `header.network` is False.
        panel: its linear experts.
        newest: the newest rows of its history; None: not known.
        online: the numbers of an `ONLINE` after the newest reading of its history; None: not known.
    """

    header: Header
    weights: Mapping[str, lstm.Array]
    panel: LinearExperts = field(default_factory=LinearExperts.naive)
    newest: NewestRows | None = None
    online: Int64 | None = None

    @property
    def spec(self) -> Spec:
        """Return the network's shape."""
        return self.header.spec

    @property
    def network_rows(self) -> int:
        """Return how many rows the network reads, including its seasonal inputs; 0 without a network."""
        spec = self.spec
        return rows_read(spec, network_seasons(self.header.seasons, spec.seasonal)) if self.header.network else 0

    @property
    def rows(self) -> int:
        """Return how many rows its experts read at most, without the cohort's network."""
        return max(self.panel.rows, self.network_rows)

    def rows_with(self, shared: "Model | None") -> int:
        """Return how many rows all its experts read at most, including its cohort's network."""
        if shared is None:
            return self.rows
        spec = shared.spec
        return max(self.rows, rows_read(spec, network_seasons(self.header.seasons, spec.seasonal)))


def network_seasons(seasons: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Return the seasons that a network with so many seasonal inputs reads, `(count,)`: shorter first, 0 for none."""
    chosen = sorted(seasons[:MOST_SEASONS])[:count]
    return np.array([*chosen, *[0] * (count - len(chosen))], np.int64)


def encode(model: Model) -> bytes:
    """Encode a model to bytes.

    Raises:
        ModelError: the weights are not those that the header declares.
    """
    weights = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in model.weights.items()}
    arrays = weights | _parts_of(model.panel, _PANEL) | (_parts_of(model.newest, _NEWEST) if model.newest else {})
    if model.online is not None:
        arrays["online"] = model.online
    _check_shapes(model.header, {name: w.shape for name, w in arrays.items()}, "the model")
    header = model.header.model_dump_json()
    return _in_order(save(arrays, metadata={HEADER: header, CHECKSUM: _checksum(header, arrays)}))


def _in_order(content: bytes) -> bytes:
    """Sort the metadata of a `safetensors` file, whose order otherwise changes from call to call."""
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + content[end:]


def _parts_of(parts: LinearExperts | NewestRows, kinds: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a part of a model by their names in a file."""
    return {name: np.ascontiguousarray(getattr(parts, name.partition(".")[2]), kind) for name, kind in kinds.items()}


def load(path: Path) -> Model:
    """Read a model file and check all of it.

    Raises:
        ModelError: the file is absent, truncated, altered, of another format, or its weights do not fit its spec.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a Tidecast model: remove it")
        # Reading tensor by tensor maps the file and took twice as long, and readings wait while champions are loaded.
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
    panel = LinearExperts(**{part.name: arrays.pop(f"panel.{part.name}") for part in fields(LinearExperts)})
    _check_panel(panel, header, path)
    newest = None
    if not _NEWEST.keys().isdisjoint(arrays):
        newest = NewestRows(**{part.name: arrays.pop(f"newest.{part.name}") for part in fields(NewestRows)})
        if not newest.is_valid():
            raise ModelError(f"{path}: its newest rows are no rows of a series: train it again")
    online = arrays.pop("online", None)
    return Model(header, arrays, panel, newest, online)


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the metadata in the JSON at the start of a `safetensors` file that was already checked to be whole."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata: Mapping[str, str] = json.loads(content[8:end]).get("__metadata__") or {}
    return metadata


def _array(name: str, part: Mapping[str, Any], path: Path) -> NDArray[Any]:
    kind = _KINDS.get(name, np.float32)
    if _TYPES.get(part["dtype"]) is not kind:
        raise ModelError(f"{path}: weight {name} is of type {part['dtype']}, not {np.dtype(kind).name}: train it again")
    return np.frombuffer(part["data"], kind).reshape(part["shape"])


def load_header(path: Path) -> Header:
    """Read the header of a model file, without the weights.

    Raises:
        ModelError: as for `load`, except for errors that only the weights show.
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
        _check_format(metadata[HEADER], path)  # a header of another format may be invalid in this one
        raise _bad_header(path, exc) from exc
    if header.format != FORMAT:
        raise _other_format(path, header.format)
    return header


class _Format(BaseModel):
    format: int


def _check_format(header: str, path: Path) -> None:
    try:
        its_format = _Format.model_validate_json(header).format
    except ValidationError as exc:
        raise _bad_header(path, exc) from exc
    if its_format != FORMAT:
        raise _other_format(path, its_format)


def _bad_header(path: Path, exc: ValidationError) -> ModelError:
    first = exc.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return ModelError(f"{path}: bad header, {where}: {first['msg']}: publish the series again")


def _other_format(path: Path, its_format: int) -> ModelError:
    return ModelError(f"{path}: model format {its_format}, this program reads {FORMAT}: upgrade the older one")


def _check_shapes(header: Header, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    terms = shapes.get("panel.lags", (0,))
    size = len(LINEAR)
    expected: dict[str, tuple[int, ...]] = header.spec.shapes() if header.network else {}
    expected |= {"panel.lags": terms, "panel.columns": terms, "panel.coefficients": (size, *terms)}
    expected |= {"panel.bias": (size,), "panel.needs": (size,), "panel.errors": (len(HALF_LIVES), len(EXPERTS))}
    if not _NEWEST.keys().isdisjoint(shapes):
        rows = shapes.get("newest.ts", (0,))
        expected |= {"newest.ts": rows, "newest.values": (*rows, len(header.spec.features)), "newest.filled": rows}
    if "online" in shapes:
        expected["online"] = (numbers_in(ONLINE),)
    for name in expected.keys() | shapes.keys():
        if expected.get(name) != shapes.get(name):
            raise ModelError(
                f"{where}: weight {name} is {shapes.get(name)}, its spec says {expected.get(name)}: train it again"
            )
    if len(shapes.get("newest.ts", (1,))) != 1:
        raise ModelError(f"{where}: its newest rows have times of shape {shapes['newest.ts']}: train it again")
    if len(terms) != 1 or terms[0] % TERMS or not terms[0]:
        raise ModelError(f"{where}: its panel has {terms} terms, not a multiple of {TERMS}: train it again")


def _check_panel(panel: LinearExperts, header: Header, path: Path) -> None:
    """Raise ModelError for a panel that would read rows or columns that no window has."""
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
    digest = hashlib.blake2b(header.encode(), digest_size=32)  # takes half the time of SHA-256
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()
