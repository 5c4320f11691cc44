"""Encode the forecasts of a batch as arguments of a Redis command, one for each, in one compiled loop.

An argument has the texts of a stream's entry: the id, then the name and the value of each known field. They are strings
of MessagePack. `commit.lua` unpacks them into the arguments of XADD, so that Redis handles them one entry at a time.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import orjson

from tidecast.arrays import Bytes, Int64, byte_array
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.redis_arguments import put_length, put_line_end
from tidecast.wire import Forecasts
from tidecast.wire.messages import Column

_END = b"\n"  # after each value: no text has a line end
_SHORT_STRING, _STRING = 0xA0, 0xDA  # the types of MessagePack for less than `_LONG` bytes, and for more
_LONG = 32  # bytes
_HEADER = 3  # bytes before a string, at most
_LENGTH_LINES = 16  # bytes at most that an argument takes beside its own


class _Columns(NamedTuple):
    """The fields of a batch's forecasts as text.

    Attributes:
        names: the names of the fields, packed, one after the other; the id has none.
        name_ends: `(fields,)` where each name ends.
        values: the values, one field after the other, with `_END` after each; unknown values are empty.
        ends: `(fields * n + 1,)` where each value ends, after -1: a value begins behind the end of the one before.
        forecasts: n, the number of forecasts.
    """

    names: Bytes
    name_ends: Int64
    values: Bytes
    ends: Int64
    forecasts: int


def encoded(forecasts: Forecasts) -> bytes:
    """Return an argument for each forecast, as Redis reads them; unknown fields are left out."""
    if not forecasts:
        return b""
    columns = _columns(forecasts)
    beside = len(columns.names) + _HEADER * len(columns.name_ends) + _LENGTH_LINES
    into = np.empty(len(columns.values) + beside * len(forecasts), np.uint8)
    return into[: _encode(columns, into)].tobytes()


def warm() -> None:
    """Compile the loop, or load it from the cache."""
    nothing = np.zeros(0, np.uint8)
    _encode(_Columns(nothing, np.zeros(0, np.int64), nothing, np.zeros(1, np.int64), 0), nothing)


def _columns(forecasts: Forecasts) -> _Columns:
    fields = forecasts.columns()
    names = [b"", *(_packed(name.encode()) for name in list(fields)[1:])]
    values = byte_array(b"".join([_text_of(values) for values in fields.values()]))
    return _Columns(
        byte_array(b"".join(names)),
        np.cumsum([len(name) for name in names]),
        values,
        np.append(-1, np.flatnonzero(values == ord(_END))),
        len(forecasts),
    )


def _text_of(values: Column) -> bytes:
    """Return the values of a field as text, with `_END` after each; unknown numbers are empty."""
    if isinstance(values[0], str):
        return "\n".join([*cast("Sequence[str]", values), ""]).encode()
    listed = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    if b"n" in listed:  # a search for one letter is much faster
        listed = listed.replace(b"null", b"")
    return listed.replace(b",", _END) + _END


def _packed(name: bytes) -> bytes:
    """Return a name as a string of MessagePack."""
    length = len(name)
    header = bytes([_SHORT_STRING | length]) if length < _LONG else bytes([_STRING, 0, length])
    return header + name


@compiled_exactly
def _encode(columns: _Columns, into: Bytes) -> int:
    """Write all arguments one after the other; return their bytes."""
    at = 0
    for i in range(columns.forecasts):
        at = put_length(_size_of(columns, i), into, at)
        name = 0
        for k in range(len(columns.name_ends)):
            begin, end = _value(columns, k, i)
            if end > begin:
                at = _copy(columns.names, name, columns.name_ends[k], into, at)
                at = _copy(columns.values, begin, end, into, _put_header(end - begin, into, at))
            name = columns.name_ends[k]
        at = put_line_end(into, at)
    return at


@part_exactly
def _size_of(columns: _Columns, i: int) -> int:
    """Return the bytes of an argument."""
    size = 0
    name = 0
    for k in range(len(columns.name_ends)):
        begin, end = _value(columns, k, i)
        if end > begin:
            size += columns.name_ends[k] - name + (1 if end - begin < _LONG else _HEADER) + end - begin
        name = columns.name_ends[k]
    return size


@part_exactly
def _value(columns: _Columns, k: int, i: int) -> tuple[int, int]:
    """Return where the value of a field begins and ends."""
    place = k * columns.forecasts + i
    return columns.ends[place] + 1, columns.ends[place + 1]


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
