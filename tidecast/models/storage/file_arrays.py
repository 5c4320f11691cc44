"""The arrays of a model file: their names, their types, their shapes, and their places in a file."""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidecast.errors import ModelError
from tidecast.models.experts import EXPERTS, HALF_LIVES, LINEAR, TERMS
from tidecast.models.model import PROFILE_NUMBERS
from tidecast.models.spec import Spec
from tidecast.wire.state_format import MOST_BINS, ONLINE, SEASONS, numbers_in

PANEL = {  # the panel's arrays in a file
    "panel.lags": np.int64,
    "panel.columns": np.int64,
    "panel.coefficients": np.float64,
    "panel.bias": np.float64,
    "panel.needs": np.int64,
    "panel.errors": np.float64,
}
NEWEST = {"newest.ts": np.int64, "newest.values": np.float64, "newest.filled": np.int64}  # its newest rows, if any
_ONLINE = {"online": np.int64}
_OWN = {"own": np.uint8}  # the state of an expert of the user's own, if it has one
PROFILES = {"profiles.numbers": np.int64, "profiles.bins": np.float32}  # those of its long seasons, if any
KINDS: dict[str, Any] = PANEL | NEWEST | _ONLINE | _OWN | PROFILES  # all other arrays are weights
TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}


Arrays = dict[str, NDArray[Any]]  # by their names in a file


class ArrayTable(NamedTuple):
    """The table of a file's arrays; all numbers count from the end of the head.

    Attributes:
        size: the bytes of all arrays.
        places: of each array its name, type, first byte, shape, and strides.
        spans: the first byte and the end of arrays that lie together, in the order of the checksum.
    """

    size: int
    places: tuple[tuple[str, type, int, tuple[int, ...], tuple[int, ...]], ...]
    spans: tuple[tuple[int, int], ...]


@lru_cache(1024)
def table_of(text: str, spec: Spec, *, network: bool) -> ArrayTable:
    """Return the table in the JSON after a file's metadata, which must declare the arrays of a spec one after another.

    Raises:
        ValueError, LookupError, TypeError, ModelError: it does not.
    """
    parts = json.loads("{" + text.removeprefix(","))
    check_shapes(spec, network, {name: tuple(part["shape"]) for name, part in parts.items()}, "the file")
    places = []
    size = 0
    for name, part in parts.items():
        kind = KINDS.get(name, np.float32)
        shape = tuple(part["shape"])
        start = size
        size += math.prod(shape) * np.dtype(kind).itemsize
        if TYPES[part["dtype"]] is not kind or part["data_offsets"] != [start, size]:
            raise ValueError(f"{name} is of another type, or in another place")
        places.append((name, kind, start, shape, np.empty(shape, kind).strides))
    spans: list[tuple[int, int]] = []
    for name in sorted(parts):  # the order of the checksum; neighbours are read at once
        start, stop = parts[name]["data_offsets"]
        first = spans.pop()[0] if spans and spans[-1][1] == start else start
        spans.append((first, stop))
    return ArrayTable(size, tuple(places), tuple(spans))


def check_shapes(spec: Spec, network: bool, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise ModelError if the arrays of a file, by name, do not have the shapes that its spec needs."""
    terms = shapes.get("panel.lags", (0,))
    size = len(LINEAR)
    expected: dict[str, tuple[int, ...]] = spec.shapes() if network else {}
    expected |= {"panel.lags": terms, "panel.columns": terms, "panel.coefficients": (size, *terms)}
    expected |= {"panel.bias": (size,), "panel.needs": (size,), "panel.errors": (len(HALF_LIVES), len(EXPERTS))}
    if not NEWEST.keys().isdisjoint(shapes):
        rows = shapes.get("newest.ts", (0,))
        expected |= {"newest.ts": rows, "newest.values": (*rows, len(spec.features)), "newest.filled": rows}
    if not PROFILES.keys().isdisjoint(shapes):
        expected |= {"profiles.numbers": (PROFILE_NUMBERS,), "profiles.bins": (SEASONS, MOST_BINS)}
    if "online" in shapes:
        expected["online"] = (numbers_in(ONLINE),)
    if "own" in shapes:
        expected["own"] = shapes["own"][:1]
    for name in expected.keys() | shapes.keys():
        if expected.get(name) != shapes.get(name):
            raise ModelError(
                f"{where}: weight {name} is {shapes.get(name)}, its spec requires {expected.get(name)}: train it again"
            )
    if len(shapes.get("newest.ts", (1,))) != 1:
        raise ModelError(f"{where}: its newest rows have times of shape {shapes['newest.ts']}: train it again")
    if len(terms) != 1 or terms[0] % TERMS or not terms[0]:
        raise ModelError(f"{where}: its panel has {terms} terms, not a multiple of {TERMS}: train it again")
