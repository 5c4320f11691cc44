"""The file of a model, which holds only arrays and a description, and is checked completely.

A file is `safetensors` with one JSON header. Reading it executes no code, and allocates no more than the file's size.
"""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from json import JSONDecoder
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save

from tidecast.arrays import Float
from tidecast.errors import ModelError
from tidecast.models import lstm
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, TERMS, LinearExperts
from tidecast.models.model import FORMAT, MAX_SEASON, PROFILE_NUMBERS, Header, Model, NewestRows, SeasonProfiles
from tidecast.models.own_model import OwnModel
from tidecast.models.spec import Spec
from tidecast.models.storage.file_names import content_of
from tidecast.wire.state_format import MOST_BINS, ONLINE, SEASONS, numbers_in

MAX_FILE_BYTES = 256 * 2**20  # a hundred times the largest spec that the trainer offers
HEADER, CHECKSUM = "tidecast", "crc32"
METADATA = '{"__metadata__":'  # the first characters of a file's JSON
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
_OWN = {"own": np.uint8}  # the state of an expert of the user's own, if it has one
_PROFILES = {"profiles.numbers": np.int64, "profiles.bins": np.float32}  # those of its long seasons, if any
_KINDS: dict[str, Any] = _PANEL | _NEWEST | _ONLINE | _OWN | _PROFILES  # all other arrays are weights
_PANEL_PARTS, _NEWEST_PARTS, _PROFILE_PARTS = fields(LinearExperts), fields(NewestRows), fields(SeasonProfiles)
_DECODER = JSONDecoder()
_TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}

Arrays = dict[str, NDArray[Any]]  # by their names in a file


class _Table(NamedTuple):
    """The table of a file's arrays; all numbers count from the end of the head.

    Attributes:
        size: the bytes of all arrays.
        places: of each array its name, type, first byte, number of elements, and shape.
        spans: the first byte and the end of arrays that lie together, in the order of the checksum.
    """

    size: int
    places: tuple[tuple[str, type, int, int, tuple[int, ...]], ...]
    spans: tuple[tuple[int, int], ...]


def encode(model: Model) -> bytes:
    """Encode a model to bytes.

    Raises:
        ModelError: the weights are not those that the header declares.
    """
    weights = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in model.weights.items()}
    arrays = weights | _parts_of(model.panel, _PANEL) | (_parts_of(model.newest, _NEWEST) if model.newest else {})
    if model.online is not None:
        arrays["online"] = model.online
    if model.profiles:
        arrays |= _parts_of(model.profiles, _PROFILES)
    described = model.header
    if model.own is not None:
        arrays["own"] = np.frombuffer(model.own.state, np.uint8)
        described = described.model_copy(update={"own": model.own.source, "own_rows": model.own.rows})
    _check_shapes(described.spec, described.network, {name: w.shape for name, w in arrays.items()}, "the model")
    header = described.model_dump_json()
    return _in_order(save(arrays, metadata={HEADER: header, CHECKSUM: _checksum(header, arrays)}))


def _in_order(content: bytes) -> bytes:
    """Sort the metadata of a `safetensors` file, whose order otherwise changes from call to call."""
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + content[end:]


def _parts_of(parts: LinearExperts | NewestRows | SeasonProfiles, kinds: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a part of a model by their names in a file."""
    return {name: np.ascontiguousarray(getattr(parts, name.partition(".")[2]), kind) for name, kind in kinds.items()}


def load(path: Path | str) -> Model:
    """Read a model file and check all of it.

    Raises:
        ModelError: the file is absent, truncated, altered, of another format, or its weights do not fit its spec.
    """
    content = _read(path)
    header, arrays = _usual(content) or _examined(content, path)
    panel = LinearExperts(**{part.name: arrays.pop(f"panel.{part.name}") for part in _PANEL_PARTS})
    _check_panel(panel, header, path)
    newest = None
    if "newest.ts" in arrays:
        newest = NewestRows(**{part.name: arrays.pop(f"newest.{part.name}") for part in _NEWEST_PARTS})
        if not newest.is_valid():
            raise ModelError(f"{path}: its newest rows are no rows of a series: train it again")
    profiles = None
    if "profiles.bins" in arrays:
        profiles = SeasonProfiles(**{part.name: arrays.pop(f"profiles.{part.name}") for part in _PROFILE_PARTS})
        if not profiles.is_valid():
            raise ModelError(f"{path}: its profiles are no profiles of seasons: train it again")
    online = arrays.pop("online", None)
    state = arrays.pop("own", None)
    own = None if state is None or header.own is None else OwnModel(header.own, header.own_rows, state.tobytes())
    return Model(header, arrays, panel, newest, online, own, profiles)


def _read(path: Path | str) -> bytes:
    try:
        content = content_of(path, MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _not_whole(path, exc) from exc
    if len(content) > MAX_FILE_BYTES:
        raise ModelError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a Tidecast model: remove it")
    return content


def _usual(content: bytes) -> tuple[Header, Arrays] | None:
    """Return the header and the arrays of a sound file of this program; None for any other file.

    Thousands of models share all but their numbers, so their tables of arrays are read and checked once.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        head = content[8:end].decode()
        if not head.startswith(METADATA):
            return None
        metadata, stop = _DECODER.raw_decode(head, len(METADATA))
        text = metadata[HEADER]
        header = Header.model_validate_json(text)
        table = _table(head[stop:].rstrip(" "), header.spec, network=header.network)
    except (ValueError, LookupError, TypeError, ModelError):
        return None
    crc = zlib.crc32(text.encode())
    view = memoryview(content)[end:]
    for start, stop in table.spans:
        crc = zlib.crc32(view[start:stop], crc)
    if header.format != FORMAT or len(view) != table.size or metadata.get(CHECKSUM) != _hexadecimal(crc):
        return None
    return header, {
        name: np.frombuffer(content, kind, count, end + start).reshape(shape)
        for name, kind, start, count, shape in table.places
    }


@lru_cache(1024)
def _table(text: str, spec: Spec, *, network: bool) -> _Table:
    """Return the table in the JSON after a file's metadata, which must declare the arrays of a spec one after another.

    Raises:
        ValueError, LookupError, TypeError, ModelError: it does not.
    """
    parts = json.loads("{" + text.removeprefix(","))
    _check_shapes(spec, network, {name: tuple(part["shape"]) for name, part in parts.items()}, "the file")
    places = []
    size = 0
    for name, part in parts.items():
        kind = _KINDS.get(name, np.float32)
        count = math.prod(part["shape"])
        start = size
        size += count * np.dtype(kind).itemsize
        if _TYPES[part["dtype"]] is not kind or part["data_offsets"] != [start, size]:
            raise ValueError(f"{name} is of another type, or in another place")
        places.append((name, kind, start, count, tuple(part["shape"])))
    spans: list[tuple[int, int]] = []
    for name in sorted(parts):  # the order of the checksum; neighbours are read at once
        start, stop = parts[name]["data_offsets"]
        first = spans.pop()[0] if spans and spans[-1][1] == start else start
        spans.append((first, stop))
    return _Table(size, tuple(places), tuple(spans))


def _examined(content: bytes, path: Path | str) -> tuple[Header, Arrays]:
    """Return the header and the arrays of a file of any shape.

    Raises:
        ModelError: as for `load`.
    """
    try:
        parts = dict(deserialize(content))
    except SafetensorError as exc:
        raise _not_whole(path, exc) from exc
    metadata = _metadata(content)
    header = _header(metadata, path)
    shapes = {name: tuple(part["shape"]) for name, part in parts.items()}
    _check_shapes(header.spec, header.network, shapes, str(path))
    arrays = {name: _array(name, part, path) for name, part in parts.items()}
    if _checksum(metadata[HEADER], arrays) != metadata.get(CHECKSUM):
        raise ModelError(f"{path}: its checksum does not match, the file was altered: publish the series again")
    return header, arrays


def _not_whole(path: Path | str, exc: Exception) -> ModelError:
    return ModelError(f"{path}: not a whole model file ({exc}): publish the series again")


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the metadata in the JSON at the start of a `safetensors` file that was already checked to be whole."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata: Mapping[str, str] = json.loads(content[8:end]).get("__metadata__") or {}
    return metadata


def _array(name: str, part: Mapping[str, Any], path: Path | str) -> NDArray[Any]:
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
        raise _not_whole(path, exc) from exc


def _header(metadata: Mapping[str, str], path: Path | str) -> Header:
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


def _check_format(header: str, path: Path | str) -> None:
    try:
        its_format = _Format.model_validate_json(header).format
    except ValidationError as exc:
        raise _bad_header(path, exc) from exc
    if its_format != FORMAT:
        raise _other_format(path, its_format)


def _bad_header(path: Path | str, exc: ValidationError) -> ModelError:
    first = exc.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return ModelError(f"{path}: bad header, {where}: {first['msg']}: publish the series again")


def _other_format(path: Path | str, its_format: int) -> ModelError:
    return ModelError(f"{path}: model format {its_format}, this program reads {FORMAT}: upgrade the older one")


def _check_shapes(spec: Spec, network: bool, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    terms = shapes.get("panel.lags", (0,))
    size = len(LINEAR)
    expected: dict[str, tuple[int, ...]] = spec.shapes() if network else {}
    expected |= {"panel.lags": terms, "panel.columns": terms, "panel.coefficients": (size, *terms)}
    expected |= {"panel.bias": (size,), "panel.needs": (size,), "panel.errors": (len(HALF_LIVES), len(EXPERTS))}
    if not _NEWEST.keys().isdisjoint(shapes):
        rows = shapes.get("newest.ts", (0,))
        expected |= {"newest.ts": rows, "newest.values": (*rows, len(spec.features)), "newest.filled": rows}
    if not _PROFILES.keys().isdisjoint(shapes):
        expected |= {"profiles.numbers": (PROFILE_NUMBERS,), "profiles.bins": (SEASONS, MOST_BINS)}
    if "online" in shapes:
        expected["online"] = (numbers_in(ONLINE),)
    if "own" in shapes:
        expected["own"] = shapes["own"][:1]
    for name in expected.keys() | shapes.keys():
        if expected.get(name) != shapes.get(name):
            raise ModelError(
                f"{where}: weight {name} is {shapes.get(name)}, its spec says {expected.get(name)}: train it again"
            )
    if len(shapes.get("newest.ts", (1,))) != 1:
        raise ModelError(f"{where}: its newest rows have times of shape {shapes['newest.ts']}: train it again")
    if len(terms) != 1 or terms[0] % TERMS or not terms[0]:
        raise ModelError(f"{where}: its panel has {terms} terms, not a multiple of {TERMS}: train it again")


def _check_panel(panel: LinearExperts, header: Header, path: Path | str) -> None:
    """Raise ModelError for a panel that would read rows or columns that no window has."""
    sound = (
        _within(panel.lags, 2 * MAX_SEASON)
        and _within(panel.columns, header.spec.columns - 1)
        and _within(panel.needs, 2 * MAX_SEASON + 1)
        and _is_finite(panel.coefficients)
        and _is_finite(panel.bias)
        and not np.fmin.reduce(panel.errors, axis=None) < 0
    )
    if not sound:
        raise ModelError(f"{path}: its panel reads rows or columns that no series has: train it again")


def _within(numbers: NDArray[np.int64], most: int) -> bool:
    return bool(np.maximum.reduce(numbers.view(np.uint64)) <= most)  # a negative number is a large one there


def _is_finite(numbers: Float) -> bool:
    """Return whether all numbers are finite: first by one product, which is not finite either if one is not."""
    return math.isfinite(np.vdot(numbers, numbers)) or bool(np.isfinite(numbers).all())


def _checksum(header: str, weights: Mapping[str, lstm.Array]) -> str:
    """Return the CRC of the header and the arrays by name: it finds damage, and takes a fifth of a digest's time."""
    crc = zlib.crc32(header.encode())
    for name in sorted(weights):
        crc = zlib.crc32(np.ascontiguousarray(weights[name]).data, crc)
    return _hexadecimal(crc)


def _hexadecimal(crc: int) -> str:
    return f"{crc:08x}"
