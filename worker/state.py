"""What the worker remembers of a series, and the bytes in which every commit stores it.

A state is one head and as many blocks of rows as its window spans. A commit writes the head and the blocks that have
new rows: what a reading costs does not grow with the window. Blocks take turns in a ring of fields, and a row of an
older turn is told by its block's number.

The head, little-endian: numbers, the names of the features after the first, the steps seen, the experts' errors and
standing answers, the interval trackers, what stands for further steps. A block: its number, the bits of its filled
rows, its rows.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from tidecast.errors import StateError
from tidecast.experts import EXPERTS, HALF_LIVES
from tidecast.windows import BLOCK, STEPS_REMEMBERED, Float, Window
from worker.scoring import Tracker

VERSION = 3
# version, length, capacity, width, steps seen, bytes of names, trackers, further steps; the number of the next row;
# last ts, step (0: not a model's); forecast standing (NaN: none), the version last heard (0: none).
_HEADER = struct.Struct("<BHHHBHBBQqddI")
_BLOCK = struct.Struct("<QI")
_STEPS = [
    struct.Struct(f"<{count}q") for count in range(STEPS_REMEMBERED + 1)
]  # to make one takes as long as to use it
_SEPARATOR = "\x1f"  # a control character, which no name of a field or a series holds
_RECORDS = (len(HALF_LIVES), len(EXPERTS))
_BLEND = (len(HALF_LIVES) + 1) * len(EXPERTS)  # numbers
_TRACKER = struct.Struct("<dIdd")  # the half-width standing (NaN: unknown), and the tracker's own numbers


def _no_errors() -> Float:
    return np.full(_RECORDS, np.nan)


def _no_answers() -> Float:
    return np.full(len(EXPERTS), np.nan)


@dataclass(slots=True)
class SeriesState:
    """One series: its features, its window, the forecast that stands and how well every expert did."""

    features: tuple[str, ...]
    window: Window
    errors: Float = field(default_factory=_no_errors)  # (records, experts) discounted, NaN: none known
    answers: Float = field(default_factory=_no_answers)  # (experts,) standing, NaN: none
    standing: float | None = None  # the forecast that the next reading will settle, in the series' unit
    trackers: list[Tracker] = field(default_factory=list)  # one for each level
    version: int = 0  # the model that the errors belong to; 0: none has answered yet
    ahead: Float = field(default_factory=lambda: np.zeros((0, 1)))  # (further steps, further steps + 1) standing
    ahead_trackers: list[Tracker] = field(default_factory=list)  # one for each further step

    def wear(self, features: tuple[str, ...], capacity: int, step_ms: float | None, *, gridded: bool) -> None:
        """Take the shape that a model needs, keeping what is known; another target has nothing to keep but the time."""
        known = {name: i for i, name in enumerate(self.features)}
        self.window.reshape(capacity, [known.get(name) for name in features])
        self.window.step_ms, self.window.gridded = step_ms, gridded
        if features[0] != self.features[0]:
            self.window.clear()
            self.standing, self.trackers, self.version = None, [], 0
            self.errors, self.answers = _no_errors(), _no_answers()
            self.ahead, self.ahead_trackers = np.zeros((0, 1)), []
        self.features = features

    def changes(self, series: str) -> dict[str, bytes]:
        """The fields that must be written now, by name: the head, and each block with rows that are not yet stored."""
        window = self.window
        found = {series: self.head()}
        first, ring = window.appended - min(window.unsaved, window.length), _ring(window.capacity)
        for number in range(first // BLOCK, -(-window.appended // BLOCK)):
            found[f"{series}{_SEPARATOR}{number % ring}"] = self._block(number)
        window.unsaved = 0
        return found

    def head(self) -> bytes:
        """All but the rows."""
        window = self.window
        names = _SEPARATOR.join(self.features).encode()
        header = _HEADER.pack(
            VERSION,
            window.length,
            window.capacity,
            len(self.features),
            len(window.steps_seen),
            len(names),
            len(self.trackers),
            len(self.ahead),
            window.appended,
            window.last_ts,
            window.step_ms or 0.0,
            np.nan if self.standing is None else self.standing,
            self.version,
        )
        steps = _STEPS[len(window.steps_seen)].pack(*window.steps_seen)
        trackers = [_TRACKER.pack(*tracker.numbers()) for tracker in (*self.trackers, *self.ahead_trackers)]
        blend = (self.errors.tobytes(), self.answers.tobytes())
        return b"".join((header, names, steps, *blend, *trackers, self.ahead.tobytes()))

    def _block(self, number: int) -> bytes:
        window = self.window
        oldest, begin = window.appended - window.length, window.end - window.appended  # in the buffer: of row 0
        first, stop = max(BLOCK * number, oldest), min(BLOCK * (number + 1), window.appended)
        filled = (window.filled >> (window.appended - stop)) & ((1 << (stop - first)) - 1) if window.filled else 0
        return _BLOCK.pack(number, filled) + window.buffer[begin + first : begin + stop].tobytes()

    @classmethod
    def decode(cls, head: bytes, blocks: Mapping[int, bytes] | None = None) -> Self:
        """Read a state.

        Args:
            head: all but the rows.
            blocks: its blocks by their field's number. Where one is missing, the window begins after it.

        Raises:
            StateError: the bytes are of another version or cut short.
        """
        if not head or head[0] != VERSION:
            found = head[0] if head else "none"
            raise StateError(f"state format {found}, this worker reads {VERSION}: run the worker that wrote it")
        try:
            state = cls._decode(head)
            state._take_rows(blocks or {})
        except (struct.error, ValueError, IndexError) as exc:
            raise StateError(f"a state of {len(head)} bytes is cut short ({exc}): restore Redis, or delete it") from exc
        return state

    @classmethod
    def _decode(cls, raw: bytes) -> Self:
        head = _HEADER.unpack_from(raw)
        length, capacity, width, steps, names, levels, further, appended, last_ts, step_ms, standing, version = head[1:]
        window = Window(capacity, width)
        at = _HEADER.size
        features = tuple(raw[at : at + names].decode().split(_SEPARATOR))
        at += names
        window.steps_seen = list(_STEPS[steps].unpack_from(raw, at))
        at += 8 * steps
        blend = np.frombuffer(raw, np.float64, _BLEND, at).copy()
        at += blend.nbytes
        trackers = [Tracker.of(*_TRACKER.unpack_from(raw, at + i * _TRACKER.size)) for i in range(levels + further)]
        at += len(trackers) * _TRACKER.size
        ahead = np.frombuffer(raw, np.float64, further * (further + 1), at).reshape(further, further + 1).copy()
        window.length, window.appended = length, appended
        window.last_ts, window.step_ms = last_ts, step_ms or None
        return cls(
            features,
            window,
            blend[: -len(EXPERTS)].reshape(_RECORDS),
            blend[-len(EXPERTS) :],
            None if np.isnan(standing) else standing,
            trackers[:levels],
            version,
            ahead if further else np.zeros((0, 1)),
            trackers[levels:],
        )

    def _take_rows(self, blocks: Mapping[int, bytes]) -> None:
        """Fill the window from its blocks, the newest first, as far back as they follow one another."""
        window, wanted = self.window, self.window.length
        stop = window.length = 0
        window.end = window.capacity
        for number in range((window.appended - 1) // BLOCK, -1, -1):
            raw = blocks.get(number % _ring(window.capacity), b"")
            if stop >= wanted or not raw:
                break
            its_number, filled = _BLOCK.unpack_from(raw)
            rows = np.frombuffer(raw, np.float64, offset=_BLOCK.size).reshape(-1, window.buffer.shape[1])
            whole = BLOCK * (number + 1) <= window.appended
            due = min(BLOCK if whole else window.appended - BLOCK * number, wanted - stop)
            if its_number != number:
                break
            if len(rows) < due:
                raise ValueError(f"block {number} has {len(rows)} rows of {due}")
            window.buffer[window.end - stop - due : window.end - stop] = rows[-due:]
            window.filled |= (filled & ((1 << due) - 1)) << stop
            stop = window.length = stop + due


def decode_all(fields: Mapping[str, bytes]) -> dict[str, SeriesState]:
    """Read the states of a partition's series from the fields of its hash.

    Raises:
        StateError: one was written by another version of the worker, or is cut short.
    """
    heads: dict[str, bytes] = {}
    blocks: dict[str, dict[int, bytes]] = {}
    for name, raw in fields.items():
        series, _, place = name.partition(_SEPARATOR)
        if place:
            blocks.setdefault(series, {})[int(place)] = raw
        else:
            heads[series] = raw
    return {series: SeriesState.decode(head, blocks.get(series)) for series, head in heads.items()}


def _ring(capacity: int) -> int:
    """How many fields a window's blocks take turns in: one more than it spans, for it seldom begins with a block."""
    return -(-capacity // BLOCK) + 1
