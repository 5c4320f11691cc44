"""The file of a model, which holds only arrays and a description, and is checked completely.

A file is `safetensors` with one JSON header. Reading it executes no code, and allocates no more than the file's size.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from json import JSONDecoder
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save

from tidecast.arrays import Bools, Bytes, Int64
from tidecast.errors import ModelError
from tidecast.models import lstm
from tidecast.models.experts import LinearExperts
from tidecast.models.model import FORMAT, MAX_SEASON, Header, Model, Models, NewestRows, SeasonProfiles
from tidecast.models.own_model import OwnModel
from tidecast.models.storage.file_arrays import (
    KINDS,
    NEWEST,
    PANEL,
    PROFILES,
    TYPES,
    Arrays,
    ArrayTable,
    check_shapes,
    table_of,
)
from tidecast.models.storage.file_names import content_of

MAX_FILE_BYTES = 256 * 2**20  # a hundred times the largest spec that the trainer offers
HEADER, CHECKSUM = "tidecast", "crc32"
BYTES_TOGETHER = 2**21  # of files that are stacked at once: a processor's cache holds about that
ALIGNED = 8  # bytes: stacked files begin at multiples of it
METADATA = '{"__metadata__":'  # the first characters of a file's JSON
_PANEL_PARTS, _NEWEST_PARTS, _PROFILE_PARTS = fields(LinearExperts), fields(NewestRows), fields(SeasonProfiles)
_DECODER = JSONDecoder()


class _File(NamedTuple):
    """A file whose checksum matches.

    Attributes:
        header: its header.
        table: of its arrays.
        content: the bytes of its arrays.
    """

    header: Header
    table: ArrayTable
    content: Bytes


def encode(model: Model) -> bytes:
    """Encode a model to bytes.

    Raises:
        ModelError: the weights are not those that the header declares.
    """
    weights = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in model.weights.items()}
    arrays = weights | _parts_of(model.panel, PANEL) | (_parts_of(model.newest, NEWEST) if model.newest else {})
    if model.online is not None:
        arrays["online"] = model.online
    if model.profiles:
        arrays |= _parts_of(model.profiles, PROFILES)
    described = model.header
    if model.own is not None:
        arrays["own"] = np.frombuffer(model.own.state, np.uint8)
        described = described.model_copy(update={"own": model.own.source, "own_rows": model.own.rows})
    check_shapes(described.spec, described.network, {name: w.shape for name, w in arrays.items()}, "the model")
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
    file = _usual(content)
    models = _stacked([file]) if file else _examined(content, path)
    for fault, has in _faults(models):
        if has.any():
            raise ModelError(f"{path}: {fault}: train it again")
    return models.model(0)


def load_together(paths: Mapping[str, str]) -> Iterator[tuple[list[str], Models]]:
    """Read the files of many series, and yield the models of each shape with the names of their series.

    Thousands of models share all but their numbers: their arrays are checked and copied together. A file that is not
    sound, or that belongs to another series, is left out: `load` raises its error.

    Args:
        paths: by series.
    """
    shapes: dict[int, list[_File]] = {}
    held = 0
    for series, path in paths.items():
        with suppress(ModelError):
            file = _usual(_read(path))
            if file and file.header.series == series:
                shapes.setdefault(id(file.table), []).append(file)  # `table_of` returns the same object for one shape
                held += len(file.content)
        if held > BYTES_TOGETHER:
            yield from _sound(shapes.values())
            shapes.clear()
            held = 0
    yield from _sound(shapes.values())


def _sound(shapes: Iterable[Sequence[_File]]) -> Iterator[tuple[list[str], Models]]:
    """Yield the models of the files of each shape whose arrays have no fault, with the names of their series."""
    for files in shapes:
        models = _stacked(files)
        faulty = np.any([has for _, has in _faults(models)], axis=0)
        if faulty.any():
            models = models.chosen(np.flatnonzero(~faulty).tolist())
        if models.headers:
            yield [header.series for header in models.headers], models


def _read(path: Path | str) -> bytes:
    try:
        content = content_of(path, MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _not_whole(path, exc) from exc
    if len(content) > MAX_FILE_BYTES:
        raise ModelError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a Tidecast model: remove it")
    return content


def _usual(content: bytes) -> _File | None:
    """Return a file of this program whose checksum matches; None for any other file.

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
        table = table_of(head[stop:].rstrip(" "), header.spec, network=header.network)
    except (ValueError, LookupError, TypeError, ModelError):
        return None
    crc = zlib.crc32(text.encode())
    view = memoryview(content)[end:]
    for start, stop in table.spans:
        crc = zlib.crc32(view[start:stop], crc)
    if header.format != FORMAT or len(view) != table.size or metadata.get(CHECKSUM) != _hexadecimal(crc):
        return None
    return _File(header, table, np.frombuffer(view, np.uint8))


def _stacked(files: Sequence[_File]) -> Models:
    """Return the models of files with the same table; of a single one, the arrays are views."""
    table = files[0].table
    contents = files[0].content
    stride = table.size + -table.size % ALIGNED
    if len(files) > 1:
        contents = np.empty(len(files) * stride, np.uint8)
        for row, file in zip(contents.reshape(-1, stride), files, strict=True):
            row[: table.size] = file.content
    arrays: Arrays = {
        name: np.ndarray((len(files), *shape), kind, contents, start, (stride, *strides))
        for name, kind, start, shape, strides in table.places
    }
    return _models([file.header for file in files], arrays)


def _examined(content: bytes, path: Path | str) -> Models:
    """Return the single model of a file of any shape.

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
    check_shapes(header.spec, header.network, shapes, str(path))
    arrays = {name: _array(name, part, path) for name, part in parts.items()}
    if _checksum(metadata[HEADER], arrays) != metadata.get(CHECKSUM):
        raise ModelError(f"{path}: its checksum does not match, the file was altered: publish the series again")
    return _models([header], {name: array[None] for name, array in arrays.items()})


def _models(headers: Sequence[Header], arrays: Arrays) -> Models:
    """Return the models in the arrays of files, `(n, *shape)` each."""
    panel = LinearExperts(**{part.name: arrays.pop(f"panel.{part.name}") for part in _PANEL_PARTS})
    newest = None
    if "newest.ts" in arrays:
        newest = NewestRows(**{part.name: arrays.pop(f"newest.{part.name}") for part in _NEWEST_PARTS})
    profiles = None
    if "profiles.bins" in arrays:
        profiles = SeasonProfiles(**{part.name: arrays.pop(f"profiles.{part.name}") for part in _PROFILE_PARTS})
    online = arrays.pop("online", None)
    states = arrays.pop("own", [None] * len(headers))
    owns = [
        None if state is None or header.own is None else OwnModel(header.own, header.own_rows, state.tobytes())
        for header, state in zip(headers, states, strict=True)
    ]
    return Models(headers, arrays, panel, newest, online, owns, profiles)


def _not_whole(path: Path | str, exc: Exception) -> ModelError:
    return ModelError(f"{path}: not a whole model file ({exc}): publish the series again")


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the metadata in the JSON at the start of a `safetensors` file that was already checked to be whole."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata: Mapping[str, str] = json.loads(content[8:end]).get("__metadata__") or {}
    return metadata


def _array(name: str, part: Mapping[str, Any], path: Path | str) -> NDArray[Any]:
    kind = KINDS.get(name, np.float32)
    if TYPES.get(part["dtype"]) is not kind:
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


def _faults(models: Models) -> Iterator[tuple[str, Bools]]:
    """Yield the faults that arrays of the right shapes may have, and which models have each, `(n,)`."""
    panel = models.panel
    sound = (
        _within(panel.lags, 2 * MAX_SEASON)
        & _within(panel.columns, models.headers[0].spec.columns - 1)
        & _within(panel.needs, 2 * MAX_SEASON + 1)
        & np.logical_and.reduce(np.isfinite(panel.coefficients), axis=(1, 2))
        & np.logical_and.reduce(np.isfinite(panel.bias), axis=1)
        & ~np.logical_or.reduce(panel.errors < 0, axis=(1, 2))
    )
    yield "its panel reads rows or columns that no series has", ~sound
    if models.newest:
        yield "its newest rows are no rows of a series", ~models.newest.are_valid()
    if models.profiles:
        yield "its profiles are no profiles of seasons", ~models.profiles.are_valid()


def _within(numbers: Int64, most: int) -> Bools:
    within: Bools = np.maximum.reduce(numbers.view(np.uint64), axis=1) <= most  # a negative number is a large one there
    return within


def _checksum(header: str, weights: Mapping[str, lstm.Array]) -> str:
    """Return the CRC of the header and the arrays by name: it finds damage, and takes a fifth of a digest's time."""
    crc = zlib.crc32(header.encode())
    for name in sorted(weights):
        crc = zlib.crc32(np.ascontiguousarray(weights[name]).data, crc)
    return _hexadecimal(crc)


def _hexadecimal(crc: int) -> str:
    return f"{crc:08x}"
