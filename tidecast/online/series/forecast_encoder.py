"""Encode the forecasts of a batch as arguments of a Redis command, one for each, in one compiled loop.

An argument has the texts of a stream's entry: the id, then the name and the value of each known field. They are strings
of MessagePack. `commit.lua` unpacks them into the arguments of XADD, so that Redis handles them one entry at a time.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, cast

import numpy as np
import orjson

from tidecast.arrays import Bytes, Int64, byte_array
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.redis_arguments import put_length, put_line_end
from tidecast.wire import Forecasts
from tidecast.wire.messages import TEXTS, Column

_END = b"\n"  # after each value: no text has a line end
_ENDS = bytes.maketrans(b",", _END)
_SHORT_STRING, _STRING = 0xA0, 0xDA  # the types of MessagePack for less than `_LONG` bytes, and for more
_LONG = 32  # bytes
_HEADER = 3  # bytes before a string, at most
_LENGTH_LINES = 16  # bytes at most that an argument takes beside its own


class _Fields(NamedTuple):
    """The fields of a batch's forecasts, in the order of an entry.

    Attributes:
        names: their names, packed, one after the other; the id has none.
        name_ends: `(fields,)` where each name ends.
        columns: `(fields,)` the place of each one's values, as texts come before numbers.
    """

    names: Bytes
    name_ends: Int64
    columns: Int64


class _Values(NamedTuple):
    """The values of a batch's forecasts as text, one column after the other.

    Attributes:
        text: all values, with `_END` after each; unknown ones are empty.
        ends: `(columns * n,)` where each value ends.
        forecasts: n.
    """

    text: Bytes
    ends: Int64
    forecasts: int


def encoded(forecasts: Forecasts) -> bytes:
    """Return an argument for each forecast, as Redis reads them; unknown fields are left out."""
    if not forecasts:
        return b""
    columns = forecasts.columns()
    fields = _fields(tuple(columns))
    values = _values(columns, len(forecasts))
    beside = len(fields.names) + _HEADER * len(columns) + _LENGTH_LINES
    into = np.empty(len(values.text) + beside * len(forecasts), np.uint8)
    return into[: _encode(fields, values, into)].tobytes()


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    text = np.zeros(0, np.uint8)
    places = np.zeros(0, np.int64)
    _encode(_Fields(text, places, places), _Values(text, places, 0), text)


@lru_cache(64)
def _fields(names: tuple[str, ...]) -> _Fields:
    packed = [_packed(name.encode()) if name != "id" else b"" for name in names]
    columns = sorted(names, key=lambda name: name not in TEXTS)
    return _Fields(
        byte_array(b"".join(packed)),
        np.cumsum([len(name) for name in packed]),
        np.array([columns.index(name) for name in names]),
    )


def _packed(name: bytes) -> bytes:
    """Return a name as a string of MessagePack."""
    length = len(name)
    header = bytes([_SHORT_STRING | length]) if length < _LONG else bytes([_STRING, 0, length])
    return header + name


def _values(columns: dict[str, Column], forecasts: int) -> _Values:
    texts = cast("list[Sequence[str]]", [values for name, values in columns.items() if name in TEXTS])
    numbers = [values for name, values in columns.items() if name not in TEXTS]
    listed = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)  # a JSON list of lists
    if b"n" in listed:  # a search for one letter is much faster
        listed = listed.replace(b"null", b"")
    joined = "\n".join(chain.from_iterable(texts)).encode()
    text = byte_array(b"".join([joined, _END, listed.translate(_ENDS, b"[]"), _END]))
    return _Values(text, np.flatnonzero(text == ord(_END)), forecasts)


@compiled_exactly
def _encode(fields: _Fields, values: _Values, into: Bytes) -> int:
    """Write all arguments one after the other; return their bytes."""
    at = 0
    for i in range(values.forecasts):
        at = put_length(_size_of(fields, values, i), into, at)
        name = 0
        for k in range(len(fields.columns)):
            begin, end = _place(values, fields.columns[k], i)
            if end > begin:
                at = _copy(fields.names, name, fields.name_ends[k], into, at)
                at = _copy(values.text, begin, end, into, _put_header(end - begin, into, at))
            name = fields.name_ends[k]
        at = put_line_end(into, at)
    return at


@part_exactly
def _size_of(fields: _Fields, values: _Values, i: int) -> int:
    """Return the bytes of an argument."""
    size = 0
    name = 0
    for k in range(len(fields.columns)):
        begin, end = _place(values, fields.columns[k], i)
        if end > begin:
            size += fields.name_ends[k] - name + (1 if end - begin < _LONG else _HEADER) + end - begin
        name = fields.name_ends[k]
    return size


@part_exactly
def _place(values: _Values, column: int, i: int) -> tuple[int, int]:
    """Return where a value begins and ends."""
    place = column * values.forecasts + i
    return values.ends[place - 1] + 1 if place else 0, values.ends[place]


@part_exactly
def _put_header(length: int, into: Bytes, at: int) -> int:
    """Write the header of a string; return the place after it."""
    if length < _LONG:
        into[at] = _SHORT_STRING | length
        return at + 1
    into[at] = _STRING
    into[at + 1] = length >> 8
    into[at + 2] = length & 255
    return at + 3


@part_exactly
def _copy(source: Bytes, begin: int, end: int, into: Bytes, at: int) -> int:
    """Copy bytes; return the place after them."""
    for i in range(begin, end):
        into[at + i - begin] = source[i]
    return at + end - begin
