"""Encode and decode the heads of stored states, one or thousands at once; `state_format.py` defines the bytes."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tidecast.arrays import Bools, Float, Float32, Int64
from tidecast.errors import StateError
from tidecast.wire.packing import packed, unpacked
from tidecast.wire.state_format import (
    BIN_BLOCK,
    BIN_HEADER,
    BLOCK,
    BLOCK_HEADER,
    HEADER,
    MOST_BINS,
    MOST_ROWS,
    NUMBER,
    RECORD,
    SEPARATOR,
    SHADOW_TEST,
    STATE_FORMAT,
    STEPS_REMEMBERED,
    WINDOW,
    bin_place,
    is_profile,
    numbers_in,
    record_numbers,
    ring,
)

Rows = tuple[Float, list[tuple[int, int, int]]]  # as `rows_in` returns them


class _Shape(NamedTuple):
    """The shape of a head."""

    levels: int
    further: int
    is_tested: int  # 1: a shadow test runs
    names: bytes


@dataclass(frozen=True, slots=True)
class StateHead:
    """The head of a stored state.

    Attributes:
        features: the names of the features, the target first.
        window: a `WINDOW`.
        levels: the number of intervals of each step.
        further: the number of further steps.
        record: `(record_numbers(levels, further),)`, a `RECORD`, a `TRACKER` for each level, and the further steps.
        shadow_test: the numbers of a `SHADOW_TEST`; empty without one.
        shadow_record: the record of the former champion; empty without a shadow test.
        block: the newest block; empty if it is full.
    """

    features: tuple[str, ...]
    window: Any
    levels: int
    further: int
    record: Float
    shadow_test: Float
    shadow_record: Float
    block: bytes

    @property
    def readings(self) -> int:
        """Return how many readings of the series were answered, without those that are not believed."""
        record: Any = self.record[: numbers_in(RECORD)].view(RECORD)[0]
        return int(record.watch.seen)

    def encode(self) -> bytes:
        """Return the stored bytes."""
        names = SEPARATOR.join(self.features).encode()
        is_tested = len(self.shadow_test) > 0
        header = HEADER.pack(STATE_FORMAT, self.levels, self.further, is_tested, len(names), len(self.block))
        parts = (self.window, self.record, self.shadow_test, self.shadow_record)
        return header + packed(b"".join(part.tobytes() for part in parts)) + names + self.block

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a head.

        Raises:
            StateError: the head is of another format or cut short.
        """
        ((_, heads),) = decode_heads([raw])
        return cls(
            heads.features,
            heads.windows[0],
            heads.levels,
            heads.further,
            heads.records[0],
            heads.shadow_tests[0],
            heads.shadow_records[0],
            heads.blocks[0],
        )

    def rows(self, stored: Mapping[int, bytes]) -> Rows:
        """Return the rows of the window, see `rows_in`."""
        window = self.window
        numbers = int(window.length), int(window.appended), int(window.capacity)
        return rows_in(stored, self.block, *numbers, len(self.features))


@dataclass(frozen=True, slots=True)
class StateHeads:
    """The heads of stored states of one shape.

    Attributes:
        features: as of each `StateHead`.
        windows: `(n,)` of `WINDOW`.
        levels: as of each `StateHead`.
        further: as of each `StateHead`.
        records: `(n, numbers of a record)`.
        shadow_tests: `(n, numbers of a SHADOW_TEST, or 0)`.
        shadow_records: `(n, numbers of a record, or 0)`.
        blocks: as of each `StateHead`.
    """

    features: tuple[str, ...]
    windows: NDArray[Any]
    levels: int
    further: int
    records: Float
    shadow_tests: Float
    shadow_records: Float
    blocks: list[bytes]

    def chosen(self, places: Int64) -> Self:
        """Return some of the heads."""
        return replace(
            self,
            windows=self.windows[places],
            records=self.records[places],
            shadow_tests=self.shadow_tests[places],
            shadow_records=self.shadow_records[places],
            blocks=[self.blocks[place] for place in places.tolist()],
        )

    def have_profiles(self) -> Bools:
        """Return whether each window has a profile, `(n,)`."""
        has: Bools = (self.windows["profile"]["period"] != 0) | (self.windows["long_profile"]["period"] != 0)
        return has


def decode_heads(raws: Sequence[bytes]) -> Iterator[tuple[list[int], StateHeads]]:
    """Yield the heads of each shape, and their places in `raws`.

    Raises:
        StateError: a head is of another format or cut short.
    """
    places: dict[_Shape, list[int]] = {}
    for place, raw in enumerate(raws):
        if not raw or raw[0] != STATE_FORMAT:
            form = raw[0] if raw else "none"
            raise StateError(f"state format {form}, this program reads {STATE_FORMAT}: run the version that wrote it")
        places.setdefault(_shape_of(raw), []).append(place)
    for shape, some in places.items():
        yield some, _heads([raws[place] for place in some], shape)


def _shape_of(raw: bytes) -> _Shape:
    """Return the shape of a head.

    Raises:
        StateError: the head is cut short.
    """
    try:
        _, levels, further, is_tested, names, block = HEADER.unpack_from(raw)
    except struct.error as exc:
        raise _cut_short(raw, exc) from exc
    end = len(raw) - block
    return _Shape(levels, further, is_tested, raw[end - names : end])


def _heads(raws: Sequence[bytes], shape: _Shape) -> StateHeads:
    """Decode heads of one shape."""
    try:
        return _decoded(raws, shape)
    except ValueError as exc:
        if len(raws) == 1:
            raise _cut_short(raws[0], exc) from exc
        for raw in raws:  # one of them raises its own error
            _heads([raw], shape)
        raise


def _decoded(raws: Sequence[bytes], shape: _Shape) -> StateHeads:
    """Decode heads of one shape.

    Raises:
        ValueError: a head does not match its header.
    """
    levels, further, tested, names = shape
    ends = [len(raw) - HEADER.unpack_from(raw)[-1] for raw in raws]
    record = record_numbers(levels, further)
    sizes = (numbers_in(WINDOW), record, tested * numbers_in(SHADOW_TEST), tested * record)
    texts = [raw[HEADER.size : end - len(names)] for raw, end in zip(raws, ends, strict=True)]
    numbers = unpacked(texts, sum(sizes))
    window, records, tests, shadows = (
        numbers[:, end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)
    )
    features = tuple(names.decode().split(SEPARATOR))
    windows = window.view(WINDOW)[:, 0]
    _check_windows(windows, len(features))
    blocks = [raw[end:] for raw, end in zip(raws, ends, strict=True)]
    return StateHeads(features, windows, levels, further, records, tests, shadows, blocks)


def _check_windows(windows: NDArray[Any], width: int) -> None:
    """Raise ValueError for a `WINDOW` whose numbers do not fit each other."""
    length = windows["length"]
    capacity = windows["capacity"]
    seen = windows["steps_seen"]
    if not ((length >= 0) & (length <= capacity) & (capacity <= MOST_ROWS) & (windows["width"] == width)).all():
        raise ValueError("its window has no such shape")
    if not (is_profile(windows["profile"]) & is_profile(windows["long_profile"])).all():
        raise ValueError("it has a profile of another shape")
    if not ((seen >= 0) & (seen <= STEPS_REMEMBERED)).all():
        raise ValueError(f"it has seen {seen.max()} steps")


def rows_in(stored: Mapping[int, bytes], newest: bytes, length: int, appended: int, capacity: int, width: int) -> Rows:
    """Return the rows, `(rows, width)`, and the bits of filled ones with the first and the end of their block.

    The rows begin after the newest gap. The bits are those of `BLOCK_HEADER`; blocks without one are left out.

    Args:
        stored: the full blocks by the number of their field.
        newest: the newest block, unless it is full.
        length: the rows of the window.
        appended: the number of the row after the newest.
        capacity: the most rows of the window.
        width: the number of features.

    Raises:
        StateError: a block is cut short.
    """
    size = ring(capacity)
    row = NUMBER * width  # bytes
    parts: list[bytes] = []  # the newest first
    marks: list[tuple[int, int, int]] = []  # places from the end
    held = 0
    for number in range((appended - 1) // BLOCK, -1, -1):
        raw = newest if BLOCK * (number + 1) > appended else stored.get(number % size, b"")
        if held >= length or not raw:
            break
        due = min(BLOCK, appended - BLOCK * number, length - held)
        filled = _filled_in(raw, number, due, row)
        if filled is None:
            break
        parts.append(raw[len(raw) - due * row :])
        held += due
        if filled:
            marks.append((filled, held, held - due))
    parts.reverse()
    rows = np.frombuffer(b"".join(parts), np.float64).reshape(-1, width)
    return rows, [(bits, held - first, held - stop) for bits, first, stop in marks]


def _filled_in(raw: bytes, number: int, due: int, row: int) -> int | None:
    """Return the bits of the filled rows of a block; None if it has another number.

    Args:
        raw: the block.
        number: of the block.
        due: the rows that it must hold.
        row: the bytes of a row.

    Raises:
        StateError: the block is cut short.
    """
    try:
        stored_number, filled = BLOCK_HEADER.unpack_from(raw)
        if stored_number != number:
            return None
        has = len(raw) - BLOCK_HEADER.size
        if has % row or has < due * row:
            raise ValueError(f"block {number} has {has} bytes of {due * row}")
    except (struct.error, ValueError) as exc:
        raise _cut_short(raw, exc) from exc
    return int(filled)


def bins_in(stored: Mapping[int, bytes], season: int, profile: Any) -> Float32:
    """Return the bins of a season's profile, `(MOST_BINS,)`; NaN where not known.

    Args:
        stored: the blocks by the number of their field.
        season: 0 or 1.
        profile: its `PROFILE`.

    Raises:
        StateError: a block is cut short.
    """
    bins = np.full(MOST_BINS, np.nan, np.float32)
    for block in range(-(-int(profile.bins) // BIN_BLOCK) if profile.period else 0):
        raw = stored.get(bin_place(season, block), b"")
        part = bins[BIN_BLOCK * block : min(BIN_BLOCK * (block + 1), int(profile.bins))]
        try:
            if not raw or BIN_HEADER.unpack_from(raw)[0] != profile.number:  # of a former profile, of any size
                continue
            if len(raw) != BIN_HEADER.size + part.nbytes:
                raise ValueError(f"block {block} of a profile has {part.nbytes} bytes of bins")
        except (struct.error, ValueError) as exc:
            raise _cut_short(raw, exc) from exc
        part[:] = np.frombuffer(raw, np.float32, offset=BIN_HEADER.size)
    return bins


def _cut_short(raw: bytes, exc: Exception) -> StateError:
    return StateError(f"a state of {len(raw)} bytes is cut short ({exc}): restore Redis, or delete it")
