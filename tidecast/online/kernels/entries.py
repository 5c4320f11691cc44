"""Parse the entries of a reply to XREAD in compiled loops, without a Python object for each field.

`find_entries` finds where each entry lies in the bytes received. `parse_entries` reads the plain ones: entries of a
known series, with its features and `ts` as plain numbers, and no other field. All others are left to
`tidecast/wire/parsing.py`, which also defines what the loop must return for the plain ones.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Bytes, Float, Int64, byte_array
from tidecast.compiler import compiler_imports
from tidecast.online.kernels.decorators import compiled_exactly, emitted, part_exactly

with compiler_imports():
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils

MOST_PAIRS = 16  # an entry with more fields is not plain
MOST_NUMBER = 64  # bytes of a number
MOST_TIME = 13  # digits of epoch milliseconds until the year 2286
EARLIEST = 5_000_000_000  # milliseconds: a smaller number may be in seconds, or spell a date
LARGEST = 3.4028234663852886e38  # of float32
EXACT = 2**53  # a double holds all integers up to it
MOST_DIGITS = 18  # of an integer that fits into 64 bits
POWERS: Float = np.power(10.0, np.arange(23))  # exact
ODD = -1  # in place of the number of a series: the entry is not plain
MINUS, PLUS, DOT, RETURN, ZERO, NINE, E, SMALL_E = b"-+.\r09Ee"
SERIES_FIELD = byte_array(b"series")
TS_FIELD = byte_array(b"ts")


class Places(NamedTuple):
    """Where the entries of a reply lie in its bytes, `(n,)` each.

    Attributes:
        id_at: where the id begins.
        id_length: its length.
        fields_at: where the first field begins.
        fields: the number of names and values together; -1: the entry was deleted.
        end: the place after the entry.
        size: the bytes of all names and values together.
        ms: the first part of the id.
        sequence: the second part.
    """

    id_at: Int64
    id_length: Int64
    fields_at: Int64
    fields: Int64
    end: Int64
    size: Int64
    ms: NDArray[np.uint64]
    sequence: NDArray[np.uint64]


class Names(NamedTuple):
    """The names of series and their features, as `parse_entries` looks them up.

    Attributes:
        slots: `(2**k,)` numbers of series by the hash of their names; ODD: empty.
        hashes: `(series or more,)` the whole hashes.
        text: the bytes of all names.
        series: `(series or more, 2)` where a series' name begins in `text`, and its length.
        features: `(series or more, most features, 2)` the same of its features; length 0: there are no more.
    """

    slots: Int64
    hashes: NDArray[np.uint64]
    text: Bytes
    series: Int64
    features: Int64


class Parsed(NamedTuple):
    """The parsed entries.

    Attributes:
        series: `(n,)` the number of the series; ODD: the entry is not plain, and the numbers below are not set.
        ts: `(n,)` epoch milliseconds.
        has_ts: `(n,)`, 0 where the entry came without a time and `ts` is that of its id.
        values: `(n, most features)`; NaN: the field is missing.
    """

    series: Int64
    ts: Int64
    has_ts: Int64
    values: Float


@emitted
def _strtod(_context: Any, _address: Any) -> tuple[Any, Any]:
    """Return the number at an address by C's `strtod`, which rounds correctly."""
    signature = types.float64(types.int64)

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, args: list[ir.Value]) -> ir.Value:
        text = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.DoubleType(), [text, text.as_pointer()])
        function = cgutils.get_or_insert_function(builder.module, kind, "strtod")
        return builder.call(function, [builder.inttoptr(args[0], text), ir.Constant(text.as_pointer(), None)])

    return signature, generate


@part_exactly
def _length(reply: Bytes, at: int) -> tuple[int, int]:
    """Return the number in a line such as `$15` or `*-1`, and the place after the line, or after `reply` if cut."""
    number = 0
    sign = 1
    at += 1
    while at < len(reply) and reply[at] != RETURN:
        if reply[at] == MINUS:
            sign = -1
        else:
            number = 10 * number + reply[at] - ZERO
        at += 1
    return sign * number, at + 2


@compiled_exactly
def find_entries(reply: Bytes, begin: int, places: Places, done: int) -> tuple[int, int]:
    """Find the entries of a reply that have arrived completely.

    Args:
        reply: the bytes received so far.
        begin: where the next entry begins.
        places: receives the places; as long as the reply has entries.
        done: the number of entries found before.

    Returns:
        The number of entries found, and where the next one begins.
    """
    for i in range(done, len(places.size)):
        at = _length(reply, begin)[1]  # an entry is a list of its id, and a list of names and values
        length, id_at = _length(reply, at)
        fields, at = _length(reply, id_at + length + 2)
        places.id_at[i] = id_at
        places.id_length[i] = length
        places.fields_at[i] = at
        places.fields[i] = fields
        size = 0
        for _ in range(fields):
            length, at = _length(reply, at)
            size += length
            at += length + 2
        if at > len(reply):
            return i, begin
        places.size[i] = size
        places.end[i] = begin = at
        number = np.uint64(0)
        for place in range(id_at, id_at + places.id_length[i]):
            if reply[place] == MINUS:
                places.ms[i] = number
                number = np.uint64(0)
            else:
                number = number * np.uint64(10) + np.uint64(reply[place] - ZERO)
        places.sequence[i] = number
    return len(places.size), begin


@compiled_exactly
def hash_of(text: Bytes, begin: int, length: int) -> np.uint64:
    """Return the FNV-1a hash of some bytes (Fowler, Noll & Vo)."""
    value = np.uint64(14695981039346656037)
    for i in range(begin, begin + length):
        value = (value ^ np.uint64(text[i])) * np.uint64(1099511628211)
    return value


@part_exactly
def _equal(text: Bytes, begin: int, length: int, other: Bytes, other_begin: int, other_length: int) -> bool:
    if length != other_length:
        return False
    i = 0
    while i < length and text[begin + i] == other[other_begin + i]:
        i += 1
    return i == length


@part_exactly
def _number_of(names: Names, text: Bytes, begin: int, length: int) -> int:
    """Return the number of a series by its name, ODD if it is not known."""
    value = hash_of(text, begin, length)
    mask = np.uint64(len(names.slots) - 1)
    at = value & mask
    while names.slots[at] != ODD:
        number = names.slots[at]
        name = names.series[number]
        if names.hashes[number] == value and _equal(text, begin, length, names.text, name[0], name[1]):
            return int(number)
        at = (at + np.uint64(1)) & mask
    return ODD


@part_exactly
def _decimal(text: Bytes, begin: int, length: int, powers: Float) -> float:
    """Return a decimal number as `float` does; NaN if it is not one, or takes too many bytes."""
    stop = begin + length
    at = begin + (text[begin] == MINUS or text[begin] == PLUS)
    mantissa = digits = exponent = 0
    has_digits = has_point = False
    while at < stop and (ZERO <= text[at] <= NINE or (text[at] == DOT and not has_point)):
        if text[at] == DOT:
            has_point = True
        else:
            has_digits = True
            exponent -= has_point
            digits += digits > 0 or text[at] != ZERO
            if digits <= MOST_DIGITS:
                mantissa = 10 * mantissa + text[at] - ZERO
        at += 1
    if not has_digits or length > MOST_NUMBER:
        return np.nan
    if at < stop:
        power, at = _exponent(text, at, stop)
        exponent += power
    if at != stop:
        return np.nan
    if digits > MOST_DIGITS or mantissa > EXACT or abs(exponent) >= len(powers):
        return float(_strtod(text.ctypes.data + begin))
    size = mantissa / powers[-exponent] if exponent < 0 else mantissa * powers[exponent]
    return float(-size if text[begin] == MINUS else size)


@part_exactly
def _exponent(text: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Return an exponent such as `e-7`, and the place after it; 0 without one."""
    if text[at] != E and text[at] != SMALL_E:
        return 0, 0
    at += 1
    negative = at < stop and text[at] == MINUS
    if negative or (at < stop and text[at] == PLUS):
        at += 1
    if at == stop:
        return 0, 0
    power = 0
    while at < stop and ZERO <= text[at] <= NINE:
        power = 10 * min(power, 1000) + text[at] - ZERO
        at += 1
    return -power if negative else power, at


@part_exactly
def _time(text: Bytes, begin: int, length: int) -> int:
    """Return epoch milliseconds; 0 if the text is something else, or may be."""
    if length > MOST_TIME:
        return 0
    ts = 0
    for i in range(begin, begin + length):
        if text[i] < ZERO or text[i] > NINE:
            return 0
        ts = 10 * ts + text[i] - ZERO
    return ts if ts >= EARLIEST else 0


@part_exactly
def _read_series_and_time(
    reply: Bytes, pairs: Int64, names: Names, constants: tuple[Float, Bytes, Bytes], i: int, into: Parsed
) -> bool:
    """Read the series and the time of entry `i` from its fields; return whether both are plain."""
    _, series_field, ts_field = constants
    into.has_ts[i] = 0
    for k in range(len(pairs)):
        at, length, value_at, value_length = pairs[k]
        if _equal(reply, at, length, series_field, 0, len(series_field)):
            if into.series[i] != ODD:
                return False
            into.series[i] = _number_of(names, reply, value_at, value_length)
        elif _equal(reply, at, length, ts_field, 0, len(ts_field)):
            if into.has_ts[i]:
                return False
            into.has_ts[i] = 1
            into.ts[i] = _time(reply, value_at, value_length)
    return bool(into.series[i] != ODD)


@part_exactly
def _read_values(reply: Bytes, pairs: Int64, names: Names, powers: Float, i: int, into: Parsed) -> bool:
    """Read the values of entry `i` from its fields; return whether they are plain, and no field is left."""
    unread = len(pairs) - 1 - into.has_ts[i]
    features = names.features[into.series[i]]
    for column in range(into.values.shape[1]):
        into.values[i, column] = np.nan
        begin, length = features[column]
        for k in range(len(pairs) if length > 0 else 0):
            if _equal(reply, pairs[k, 0], pairs[k, 1], names.text, begin, length):
                value = _decimal(reply, pairs[k, 2], pairs[k, 3], powers)
                if not abs(value) <= LARGEST or not np.isnan(into.values[i, column]):
                    return False
                into.values[i, column] = value
                unread -= 1
    return bool(unread == 0 and not np.isnan(into.values[i, 0]))


@compiled_exactly
def parse_entries(
    reply: Bytes,
    places: Places,
    names: Names,
    constants: tuple[Float, Bytes, Bytes],
    limits: tuple[int, int, int],
    into: Parsed,
) -> None:
    """Parse the plain entries, and mark the others.

    Args:
        reply: the bytes of the entries.
        places: where they lie.
        names: the known series.
        constants: `POWERS`, `SERIES_FIELD` and `TS_FIELD`.
        limits: the latest time that is accepted, the latest id that is a time, and the time used instead; milliseconds.
        into: receives the parsed entries.
    """
    latest, latest_id, now = limits
    pairs = np.empty((MOST_PAIRS, 4), np.int64)
    for i in range(len(into.series)):
        into.series[i] = ODD
        fields = places.fields[i]
        if fields < 2 or fields > 2 * MOST_PAIRS:
            continue
        at = places.fields_at[i]
        for k in range(fields):
            length, at = _length(reply, at)
            pairs[k // 2, 2 * (k % 2)] = at
            pairs[k // 2, 2 * (k % 2) + 1] = length
            at += length + 2
        own = pairs[: fields // 2]
        plain = _read_series_and_time(reply, own, names, constants, i, into)
        plain = plain and _read_values(reply, own, names, constants[0], i, into)
        if into.has_ts[i] == 0:
            ms = np.int64(places.ms[i])
            into.ts[i] = ms if 0 <= ms <= latest_id else now
        if not plain or not 0 < into.ts[i] <= latest:
            into.series[i] = ODD
