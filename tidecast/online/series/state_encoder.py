"""Encode the states of a batch's series as arguments of a Redis command, in one compiled loop.

`SeriesState.changes` defines the format. The loop reads the states' memory in place, and writes names and values as
Redis expects them, so that no Python object is made for a series.
"""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Bytes, Int64
from tidecast.online.kernels.decorators import compiled_exactly, part_exactly
from tidecast.online.kernels.placing.profiles import PROFILE_SIZE, PROFILES_AT, profile_at
from tidecast.online.kernels.placing.window_numbers import window_at
from tidecast.online.kernels.pointers import bytes_at, carray, words_at
from tidecast.online.kernels.redis_arguments import digits_of, put_decimal, put_length, put_line_end
from tidecast.online.kernels.series_rows import SeriesRows, series_rows
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.series_names import SeriesNames
from tidecast.online.series.state_changes import StateChanges
from tidecast.wire import state_format
from tidecast.wire.packing import WORD, bytes_of_bits
from tidecast.wire.state_format import (
    BIN_BLOCK,
    BIN_BLOCKS,
    BIN_HEADER,
    BLOCK,
    BLOCK_HEADER,
    HEADER,
    MOST_BINS,
    NUMBER,
    SEASONS,
    SEPARATOR,
    STATE_FORMAT,
    WINDOW,
    record_numbers,
)

_HEAD, _BLOCK_HEAD = HEADER.size, BLOCK_HEADER.size  # bytes before the numbers of a head and of a block
_BIN_HEAD = BIN_HEADER.size
_WINDOW = WINDOW.itemsize // WORD  # words
_LINES = 60  # bytes at most that an argument's name and value take beside their own
_SEPARATOR, _MINUS = ord(SEPARATOR), ord("-")
_OF_HEAD = 2**62  # in place of the number of a field: that of the head

bin_place = part_exactly(state_format.bin_place)
ring = part_exactly(state_format.ring)


class _States(NamedTuple):
    """The states of a batch's series in memory.

    Attributes:
        series: `(n,)` the rows of the series.
        shape: the numbers of intervals and of further steps of each.
        record_size: the size of a record, words.
        bits: how many bytes the bits of a head's words take.
        names: the names of all series.
        places: `(n, 2)` where the name of each lies in `names`, and its length.
    """

    series: SeriesRows
    shape: tuple[int, int]
    record_size: int
    bits: int
    names: Bytes
    places: Int64


def changes_of(series: PartitionSeries, numbers: Int64, shape: tuple[int, int]) -> StateChanges:
    """Return the fields to write now for these series, as `SeriesState.changes` does for one.

    Args:
        series: the series of the partition.
        numbers: `(n,)` the numbers of the series, each once.
        shape: the numbers of intervals and of further steps.
    """
    rows = series.columns.rows(numbers)
    plain = rows["plain"] == 1
    if plain.all():
        return _encoded(rows, numbers, series.names, shape)
    changes = _encoded(rows[plain], numbers[plain], series.names, shape)
    fields: dict[str, bytes] = {}
    for number in numbers[~plain].tolist():
        entry = series.entry(number)
        fields |= entry.state.changes(entry.series)
    others = StateChanges.of(fields)
    return changes + others


def _encoded(rows: SeriesRows, numbers: Int64, names: SeriesNames, shape: tuple[int, int]) -> StateChanges:
    record_size = record_numbers(*shape) * NUMBER // WORD
    states = _States(
        rows,
        shape,
        record_size,
        bytes_of_bits(_WINDOW + record_size),
        names.names.text,
        names.names.series[numbers],
    )
    into = np.empty(_most_bytes(states), np.uint8)
    fields, size = _encode(states, into)
    return StateChanges(into[:size].tobytes(), fields)


def warm() -> None:
    """Compile the loops, or load them from the cache."""
    states = _States(series_rows(0), (1, 0), 0, 0, np.zeros(0, np.uint8), np.zeros((0, 2), np.int64))
    _encode(states, np.empty(_most_bytes(states), np.uint8))


@compiled_exactly
def _most_bytes(states: _States) -> int:
    """Return how many bytes the states may take."""
    size = 0
    for i in range(len(states.series)):
        its = states.series[i]
        first, stop = _unsaved_blocks(its.window)
        fields = 1 + max(0, stop - first)
        size += _HEAD + states.bits + WORD * (_WINDOW + states.record_size) + its.stored_names[1]
        size += fields * (_LINES + states.places[i, 1] + _BLOCK_HEAD + NUMBER * BLOCK * its.width)
        size += _unsaved_bins(its.window) * (_LINES + states.places[i, 1] + _BIN_HEAD + WORD * BIN_BLOCK)
    return int(size)


@compiled_exactly
def _encode(states: _States, into: Bytes) -> tuple[int, int]:
    """Write all fields one after the other; return their number and their bytes."""
    at = 0
    fields = 0
    for i in range(len(states.series)):
        window = states.series[i].window
        w = window_at(window)
        place = np.int64(_OF_HEAD)  # not a literal, for which the function would be compiled once more
        at = _put_name(states, i, place, into, at)  # type: ignore[arg-type] # a NumPy scalar
        at = put_line_end(into, _encode_head(states, i, into, at))
        first, stop = _unsaved_blocks(window)
        for number in range(first, stop):
            at = _put_name(states, i, number % ring(w.capacity), into, at)
            at = put_length(_size_of_block(window, number), into, at)
            at = put_line_end(into, _encode_block(window, number, into, at))
        fields += 1 + max(0, stop - first) + _unsaved_bins(window)
        at = _put_bins(states, i, into, at)
        w.unsaved = 0
    return fields, at


@part_exactly
def _encode_head(states: _States, i: int, into: Bytes, at: int) -> int:
    """Write the head and the block that is not full, after their length; return the place after them."""
    its = states.series[i]
    newest = window_at(its.window).appended // BLOCK
    block = _size_of_block(its.window, newest) if window_at(its.window).appended % BLOCK else 0
    words = _words_of(its.window, _WINDOW) + _words_of(its.record, states.record_size)
    names = its.stored_names[1]
    at = put_length(_HEAD + states.bits + WORD * words + names + block, into, at)
    at = _put(into, at, STATE_FORMAT, 1)
    at = _put(into, at, states.shape[0], 1)
    at = _put(into, at, states.shape[1], 1)
    at = _put(into, at, 0, 1)
    at = _put(into, at, names, 4)
    at = _put(into, at, block, 4)
    bits_at = at
    at = _pack(its.window, _WINDOW, 0, bits_at, into, at + states.bits)
    at = _pack(its.record, states.record_size, _WINDOW, bits_at, into, at)
    at = _copy(into, at, its.stored_names[0], names)
    return _encode_block(its.window, newest, into, at) if block else at


@part_exactly
def _put_name(states: _States, i: int, place: int, into: Bytes, at: int) -> int:
    """Write the name of a field: that of the series and, but for the head's, its number, which may be below 0."""
    begin, length = states.places[i]
    suffix = 0 if place == _OF_HEAD else 1 + digits_of(abs(place)) + (place < 0)
    at = put_length(length + suffix, into, at)
    for k in range(length):
        into[at + k] = states.names[begin + k]
    at += length
    if place != _OF_HEAD:
        into[at] = _SEPARATOR
        into[at + 1] = _MINUS  # overwritten by a number that is not below 0
        at = put_decimal(abs(place), into, at + 1 + (place < 0))
    return put_line_end(into, at)


@part_exactly
def _unsaved_blocks(window: int) -> tuple[int, int]:
    """Return the first full block that must be written, and the one after the last."""
    w = window_at(window)
    first = w.appended - min(w.unsaved, w.length)
    return first // BLOCK, w.appended // BLOCK


@part_exactly
def _unsaved_bins(window: int) -> int:
    """Return how many blocks of bins must be written."""
    blocks = 0
    for bits in window_at(window).unsaved_bins:
        for block in range(BIN_BLOCKS if bits else 0):
            blocks += (bits >> block) & 1
    return blocks


@part_exactly
def _put_bins(states: _States, i: int, into: Bytes, at: int) -> int:
    """Write the blocks of bins that have changed; return the place after them."""
    w = window_at(states.series[i].window)
    for season in range(SEASONS):
        bits = w.unsaved_bins[season]
        profile = profile_at(states.series[i].window + PROFILES_AT + season * PROFILE_SIZE)
        for block in range(BIN_BLOCKS if bits else 0):
            if (bits >> block) & 1:
                first = BIN_BLOCK * block
                size = WORD * (min(first + BIN_BLOCK, profile.bins) - first)
                at = _put_name(states, i, bin_place(season, block), into, at)
                at = _put(into, put_length(_BIN_HEAD + size, into, at), profile.number, _BIN_HEAD)
                at = _copy(into, at, w.bins + WORD * (season * MOST_BINS + first), size)
                at = put_line_end(into, at)
        w.unsaved_bins[season] = 0
    return at


@part_exactly
def _rows_of_block(window: int, number: int) -> tuple[int, int]:
    """Return the first row of a block in the buffer, and the one after its last."""
    w = window_at(window)
    begin = w.end - w.appended  # place of row 0 in the buffer
    return begin + max(BLOCK * number, w.appended - w.length), begin + min(BLOCK * (number + 1), w.appended)


@part_exactly
def _size_of_block(window: int, number: int) -> int:
    """Return how many bytes a block takes."""
    begin, end = _rows_of_block(window, number)
    return int(_BLOCK_HEAD + NUMBER * (end - begin) * window_at(window).width)


@part_exactly
def _put(into: Bytes, at: int, number: int, count: int) -> int:
    """Write the lowest bytes of a number, the lowest first; return the place after them."""
    for _ in range(count):
        into[at] = number & 255
        number >>= 8
        at += 1
    return at


@part_exactly
def _copy(into: Bytes, at: int, address: int, count: int) -> int:
    source = carray(bytes_at(address), (count,))
    for i in range(count):
        into[at + i] = source[i]
    return at + count


@part_exactly
def _words_of(address: int, count: int) -> int:
    """Return how many of the words at an address are not 0."""
    source = carray(words_at(address), (count,))
    words = 0
    for i in range(count):
        words += source[i] != 0
    return words


@part_exactly
def _pack(address: int, count: int, first: int, bits_at: int, into: Bytes, at: int) -> int:
    """Write the words at an address that are not 0, and the bits of all; return the place after the words.

    Args:
        address: of the words.
        count: of the words.
        first: the number of the first word in the head.
        bits_at: the place of the head's bits.
        into: receives the bytes.
        at: the place of the words.
    """
    source = carray(words_at(address), (count,))
    begin = into.ctypes.data
    bits = int(into[bits_at + first // 8]) if first % 8 else 0
    for i in range(count):
        word = source[i]
        carray(words_at(begin + at), (1,))[0] = word  # one that is 0 is overwritten by the next one
        known = word != 0
        at += WORD * known
        place = first + i
        bits |= known << (place & 7)
        if place & 7 == 7 or i == count - 1:
            into[bits_at + (place >> 3)] = bits
            bits = 0
    return at


@part_exactly
def _encode_block(window: int, number: int, into: Bytes, at: int) -> int:
    """Write a block; return the place after it."""
    w = window_at(window)
    begin, end = _rows_of_block(window, number)
    marks = carray(bytes_at(w.filled), (w.room,))
    bits = 0
    for row in range(begin, end):
        bits = (bits << 1) | marks[row]
    at = _put(into, at, number, 8)
    at = _put(into, at, bits, 4)
    return _copy(into, at, w.buffer + NUMBER * begin * w.width, NUMBER * (end - begin) * w.width)
