"""The state of a series, and the bytes in which every commit stores it.

A state is one head and as many blocks of rows as its window spans. A commit writes the head and the blocks with new
rows, so the cost of a reading does not grow with the window. The blocks are stored in a ring of fields. A block stores
its number, so that an overwritten or stale field is detected.

The head, little-endian: sizes; the window's numbers, as they lie in memory; the record's numbers; the forecasts of
further steps and their trackers; a champion's shadow test; the names of the features. A block: its number, the bits of
its filled rows, its rows.
"""

import struct
from collections.abc import Mapping
from typing import Self

import numpy as np

from tidecast.arrays import Float
from tidecast.errors import StateError
from tidecast.models.experts import EXPERTS, HALF_LIVES
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.scoring import (
    ANSWERS,
    DRIFT,
    ERRORS,
    GUARD,
    HEARD,
    STANDING,
    TRACKER,
    TRACKERS,
    new_record,
)
from tidecast.online.kernels.window_loops import (
    APPENDED,
    BLOCK,
    CAPACITY,
    END,
    LENGTH,
    SEEN,
    STEPS_REMEMBERED,
    STORED,
    UNSAVED,
    WIDTH,
)
from tidecast.online.shadow_test import NUMBERS, Probation
from tidecast.online.window import Window, bits_of, mark
from tidecast.wire import SEPARATOR, STATE_FORMAT

VERSION = STATE_FORMAT
MOST_ROWS = 2**20  # of a window: more than any setting or model needs
# Version, levels, further steps, whether a champion is on trial, bytes of names; the numbers begin on 8 bytes.
_HEADER = struct.Struct("<BBBBI")
_BLOCK = struct.Struct("<QI")


class SeriesState:
    """The state of one series: its features, its window, the pending forecast and every expert's errors.

    All numbers except those of further steps lie in two arrays, the window's numbers and the record, in the stored
    format.

    Attributes:
        features: the names of the features, the target first.
        names: the same names as stored bytes.
        window: the rows.
        record: `(numbers,)`, see `tidecast/online/kernels/scoring.py`.
        address: the memory address of the record.
        levels: the number of intervals.
        ahead: `(further steps, further steps + 1)`, the pending forecasts of further steps.
        ahead_trackers: an interval tracker for each further step.
        probation: the shadow test of a new champion, if there is one.
    """

    __slots__ = ("address", "ahead", "ahead_trackers", "features", "levels", "names", "probation", "record", "window")

    def __init__(self, features: tuple[str, ...], window: Window, levels: int = 1, record: Float | None = None) -> None:
        self.window = window
        self.ahead: Float = np.zeros((0, 1))
        self.ahead_trackers: list[Tracker] = []
        self.probation: Probation | None = None
        self._call(features)
        self.use_record(new_record(levels) if record is None else record)

    def _call(self, features: tuple[str, ...]) -> None:
        self.features = features
        self.names = SEPARATOR.join(features).encode()

    def use_record(self, record: Float) -> None:
        """Continue with another record, `(numbers,)`."""
        self.record = record
        self.address = address_of(record)
        self.levels = (len(record) - TRACKERS) // TRACKER

    @property
    def pending_forecast(self) -> float | None:
        """Return the forecast that the next reading will settle, in the series' unit."""
        return None if np.isnan(self.record[STANDING]) else float(self.record[STANDING])

    @property
    def last_version(self) -> int:
        """Return the version of the model that the errors belong to; 0: no model has forecast yet."""
        return int(self.record[HEARD])

    @property
    def answers(self) -> Float:
        """Return the experts' pending forecasts, `(experts,)`, NaN without one; a view."""
        return self.record[ANSWERS:ERRORS]

    @property
    def errors(self) -> Float:
        """Return the experts' discounted errors, `(records, experts)`, NaN while unknown; a view."""
        return self.record[ERRORS:GUARD].reshape(len(HALF_LIVES), len(EXPERTS))

    @property
    def guard(self) -> Float:
        """Return the numbers of the outlier guard, `(GUARD_NUMBERS,)`; a view."""
        return self.record[GUARD:DRIFT]

    @property
    def drift(self) -> Float:
        """Return the numbers of the drift detection, `(DRIFT_NUMBERS,)`; a view."""
        return self.record[DRIFT:TRACKERS]

    @property
    def trackers(self) -> list[Tracker]:
        """Return an interval tracker for each level, on the record's numbers."""
        return [Tracker.on(numbers) for numbers in self.record[TRACKERS:].reshape(-1, TRACKER)]

    def expect_levels(self, levels: int) -> None:
        """Change the number of intervals: the first is kept, the others start empty."""
        if levels != self.levels:
            self.use_record(_with_levels(self.record, levels))
            if self.probation:
                self.probation.record = _with_levels(self.probation.record, levels)

    def reshape_to(self, features: tuple[str, ...], capacity: int, step_ms: float | None, *, gridded: bool) -> None:
        """Take the shape that a model needs, and keep the known rows; with another target, keep only the time."""
        known = {name: i for i, name in enumerate(self.features)}
        self.window.reshape(capacity, [known.get(name) for name in features])
        self.window.step_ms = step_ms
        self.window.gridded = gridded
        if features[0] != self.features[0]:
            self.window.clear()
            self.window.forget_moves()
            self.use_record(new_record(self.levels))
            self.ahead = np.zeros((0, 1))
            self.ahead_trackers = []
        self._call(features)

    def changes(self, series: str) -> dict[str, bytes]:
        """Return the fields to write now, by name: the head, and each block with rows that are not yet stored."""
        numbers = self.window.numbers.tolist()
        fields = {series: self.head()}
        ring = _ring(numbers[CAPACITY])
        first = numbers[APPENDED] - min(numbers[UNSAVED], numbers[LENGTH])
        for number in range(first // BLOCK, -(-numbers[APPENDED] // BLOCK)):
            fields[f"{series}{SEPARATOR}{number % ring}"] = self._block(number, numbers)
        self.window.unsaved = 0
        return fields

    def head(self) -> bytes:
        """Return the bytes of the head, which holds everything but the rows."""
        trial = self.probation
        parts = [
            _HEADER.pack(VERSION, self.levels, len(self.ahead), trial is not None, len(self.names)),
            self.window.numbers[:STORED].tobytes(),
            self.record.tobytes(),
        ]
        if len(self.ahead):
            parts += [self.ahead.tobytes(), *(tracker.numbers.tobytes() for tracker in self.ahead_trackers)]
        if trial:
            parts.append(trial.encode())
        return b"".join((*parts, self.names))

    def _block(self, number: int, numbers: list[int]) -> bytes:
        appended = numbers[APPENDED]
        oldest = appended - numbers[LENGTH]
        begin = numbers[END] - appended  # place of row 0 in the buffer
        first = begin + max(BLOCK * number, oldest)
        stop = begin + min(BLOCK * (number + 1), appended)
        return _BLOCK.pack(number, bits_of(self.window, first, stop)) + self.window.buffer[first:stop].tobytes()

    @classmethod
    def decode(cls, head: bytes, blocks: Mapping[int, bytes] | None = None) -> Self:
        """Read a state from its stored bytes.

        Args:
            head: the bytes of the head.
            blocks: the blocks by the number of their field. The window begins after a missing block.

        Raises:
            StateError: the bytes are of another version or cut short.
        """
        if not head or head[0] != VERSION:
            version = head[0] if head else "none"
            raise StateError(f"state format {version}, this worker reads {VERSION}: run the worker that wrote it")
        try:
            state = cls._decode(head)
            state._take_rows(blocks or {})
        except (struct.error, ValueError) as exc:
            raise StateError(f"a state of {len(head)} bytes is cut short ({exc}): restore Redis, or delete it") from exc
        return state

    @classmethod
    def _decode(cls, raw: bytes) -> Self:
        _, levels, further, trial, names = _HEADER.unpack_from(raw)
        record = TRACKERS + TRACKER * levels
        sizes = (STORED, record, further * (further + 1), TRACKER * further, trial * NUMBERS, trial * record)
        if len(raw) != _HEADER.size + 8 * sum(sizes) + names:
            raise ValueError(f"its numbers need {8 * sum(sizes)} bytes and its names {names}")
        features = tuple(raw[len(raw) - names :].decode().split(SEPARATOR))
        parts = np.split(np.frombuffer(raw, np.float64, sum(sizes), _HEADER.size), np.cumsum(sizes)[:-1])
        numbers = parts[0].view(np.int64)
        if not 0 <= numbers[LENGTH] <= numbers[CAPACITY] <= MOST_ROWS or numbers[WIDTH] != len(features):
            raise ValueError("its window has no such shape")
        if not 0 <= numbers[SEEN] <= STEPS_REMEMBERED:
            raise ValueError(f"it has seen {numbers[SEEN]} steps")
        window = Window(int(numbers[CAPACITY]), len(features))
        window.numbers[:STORED] = numbers
        state = cls(features, window, levels, parts[1].copy())
        state.ahead = parts[2].reshape(further, further + 1).copy() if further else np.zeros((0, 1))
        state.ahead_trackers = [Tracker.on(tracker.copy()) for tracker in parts[3].reshape(-1, TRACKER)]
        if trial:
            state.probation = Probation.decode(parts[4], parts[5])
        return state

    def _take_rows(self, blocks: Mapping[int, bytes]) -> None:
        """Fill the window from its blocks, the newest first, until the first missing block."""
        window = self.window
        length = self.window.length
        stop = window.length = 0
        end = window.end = window.capacity
        appended = window.appended
        ring = _ring(end)
        for number in range((appended - 1) // BLOCK, -1, -1):
            raw = blocks.get(number % ring, b"")
            if stop >= length or not raw:
                break
            its_number, filled = _BLOCK.unpack_from(raw)
            rows = np.frombuffer(raw, np.float64, offset=_BLOCK.size).reshape(-1, window.buffer.shape[1])
            whole = BLOCK * (number + 1) <= appended
            due = min(BLOCK if whole else appended - BLOCK * number, length - stop)
            if its_number != number:
                break
            if len(rows) < due:
                raise ValueError(f"block {number} has {len(rows)} rows of {due}")
            window.buffer[end - stop - due : end - stop] = rows[-due:]
            if filled:
                mark(window, filled, end - stop - due, end - stop)
            stop = window.length = stop + due


def _with_levels(record: Float, levels: int) -> Float:
    """Return a copy of a record with another number of intervals."""
    resized = new_record(levels)
    kept = min(len(record), TRACKERS + TRACKER * min(1, levels))
    resized[:kept] = record[:kept]
    return resized


def decode_all(fields: Mapping[str, bytes]) -> dict[str, SeriesState]:
    """Read the states of a partition's series from the fields of its hash.

    Raises:
        StateError: a state was written by another version of the worker, or is cut short.
    """
    heads: dict[str, bytes] = {}
    blocks: dict[str, dict[int, bytes]] = {}
    for name, raw in fields.items():
        series, _, place = name.partition(SEPARATOR)
        if place:
            blocks.setdefault(series, {})[int(place)] = raw
        else:
            heads[series] = raw
    return {series: SeriesState.decode(head, blocks.get(series)) for series, head in heads.items()}


def _ring(capacity: int) -> int:
    """Return the number of fields in a window's ring: one more than it spans, as it may start inside a block."""
    return -(-capacity // BLOCK) + 1
