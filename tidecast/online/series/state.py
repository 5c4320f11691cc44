"""The state of a series in memory; `wire/state_format.py` defines the bytes in which every commit stores it."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.errors import StateError
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.series_record import ONLINE_AT, named, new_record
from tidecast.online.shadow_test import Probation
from tidecast.online.window import STORED, Window
from tidecast.online.window_memory import WindowMemory
from tidecast.wire.state_format import (
    BIN_BLOCK,
    BIN_BLOCKS,
    BLOCK,
    NUMBER,
    RECORD,
    SEASONS,
    SEPARATOR,
    TRACKER,
    bin_place,
    block_field,
    encode_bins,
    encode_block,
    numbers_in,
    place_in,
)
from tidecast.wire.state_head import StateHead, StateHeads, bins_in, decode_heads, rows_in

_PLACE = re.compile(r"-?[0-9]{1,9}")
_LAST_VERSION = place_in(RECORD, "last_version")


class SeriesState:
    """The state of one series: its features, its window, the pending forecast and every expert's errors.

    All numbers lie in two arrays, the window's numbers and the record, in the stored format.

    Attributes:
        features: the names of the features, the target first.
        names: the same names as stored bytes.
        window: the rows.
        address: the memory address of the record.
        levels: the number of intervals.
        further: the number of further steps.
        probation: the shadow test of a new champion, if there is one.
    """

    __slots__ = ("_records", "_row", "address", "features", "further", "levels", "names", "probation", "window")

    def __init__(
        self,
        features: tuple[str, ...],
        window: Window,
        levels: int = 1,
        further: int = 0,
        records: Float | None = None,
        row: int = 0,
    ) -> None:
        """Use a row of the records of many series, `(n, numbers)`; by default a new record."""
        self.window = window
        self.levels = levels
        self.further = further
        self.probation: Probation | None = None
        self._call(features)
        self._use(new_record(levels, further)[None] if records is None else records, row)

    def _call(self, features: tuple[str, ...]) -> None:
        self.features = features
        self.names = _stored_names(features)

    def use_record(self, record: Float) -> None:
        """Continue with another record of the same levels and further steps, `(numbers,)`."""
        self._use(record[None], 0)

    def _use(self, records: Float, row: int) -> None:
        """Use a row of the records of many series."""
        self._records = records
        self._row = row
        self.address = address_of(records) + records.strides[0] * row

    @property
    def record(self) -> Float:
        """Return a `RECORD`, a `TRACKER` for each level, and the further steps: `(numbers,)`; a view."""
        record: Float = self._records[self._row]
        return record

    @property
    def fields(self) -> Any:
        """Return the record's numbers by name, without the trackers and the further steps; a view."""
        return named(self.record)

    @property
    def pending_forecast(self) -> float | None:
        """Return the forecast that the next reading will settle, in the series' unit."""
        forecast = float(self.fields.pending_forecast)
        return None if np.isnan(forecast) else forecast

    @property
    def last_version(self) -> int:
        """Return the version of the model that the errors belong to; 0: no model has forecast yet."""
        return int(self._records[self._row, _LAST_VERSION])

    @property
    def answers(self) -> Float:
        """Return the experts' pending forecasts, `(experts,)`, NaN without one; a view."""
        answers: Float = self.fields.answers
        return answers

    @property
    def errors(self) -> Float32:
        """Return the experts' discounted errors, `(records, experts)`, NaN while unknown; a view."""
        errors: Float32 = self.fields.errors
        return errors

    def expect(self, levels: int, further: int) -> None:
        """Change the number of intervals, keeping the first, and of further steps, which then start again."""
        if (levels, further) == (self.levels, self.further):
            return
        resized = _resized(self.record, levels, further)
        if self.probation:
            self.probation.record = _resized(self.probation.record, levels, further)
        self.levels = levels
        self.further = further
        self.use_record(resized)

    def reshape_to(self, features: tuple[str, ...], capacity: int, step_ms: float | None, *, gridded: bool) -> None:
        """Take the shape that a model needs, and keep the known rows; with another target, keep only the time."""
        self.window.step_ms = step_ms
        self.window.gridded = gridded
        if features == self.features and capacity == self.window.capacity:
            return
        known = {name: i for i, name in enumerate(self.features)}
        self.window.reshape(capacity, [known.get(name) for name in features])
        if features[0] != self.features[0]:
            self.window.clear()
            self.window.forget_target()
            self.use_record(new_record(self.levels, self.further))
        self._call(features)

    def take_online(self, online: Int64, trained_until: int) -> None:
        """Let the experts that learn from every reading go on from a new model's history.

        Their levels keep their place if the newest row is not the last one of that history.

        Args:
            online: the numbers of an `ONLINE` after the history.
            trained_until: the time of the history's last reading, epoch milliseconds.
        """
        first = ONLINE_AT // NUMBER
        self.record.view(np.int64)[first : first + len(online)] = online
        if self.window.length and self.window.last_ts != trained_until:
            newest = float(self.window.rows[-1, 0])
            mine = self.fields.online
            mine.levels[:] -= newest - mine.newest
            mine.newest = newest
            mine.pending = 0

    def changes(self, series: str) -> dict[str, bytes]:
        """Return the fields to write now, by name: the head, and each full block with rows that are not yet stored."""
        window = self.window
        fields = {series: self.head()}
        first = window.appended - min(window.unsaved, window.length)
        for number in range(first // BLOCK, window.appended // BLOCK):
            fields[block_field(series, number, window.capacity)] = self._block(number)
        window.unsaved = 0
        return fields | self._changed_bins(series)

    def _changed_bins(self, series: str) -> dict[str, bytes]:
        """Return the blocks of bins to write now, by the names of their fields."""
        window = self.window
        fields: dict[str, bytes] = {}
        for season, bits in enumerate(window.unsaved_bins.tolist()):
            profile = window.profiles[season]
            for block in range(BIN_BLOCKS):
                if bits >> block & 1 and window.bins is not None:
                    stop = min(BIN_BLOCK * (block + 1), int(profile.bins))
                    part = window.bins[season, BIN_BLOCK * block : stop]
                    fields[f"{series}{SEPARATOR}{bin_place(season, block)}"] = encode_bins(int(profile.number), part)
        window.unsaved_bins[:] = 0
        return fields

    def all_fields(self, series: str) -> dict[str, bytes]:
        """Return all fields of the stored state under a name."""
        self.window.save_again()
        return self.changes(series)

    def head(self) -> bytes:
        """Return the bytes of the head, which holds everything but the rows of full blocks."""
        window = self.window
        nothing = np.zeros(0)
        probation = self.probation
        return StateHead(
            self.features,
            window.stored,
            self.levels,
            self.further,
            self.record,
            probation.numbers if probation else nothing,
            probation.record if probation else nothing,
            self._block(window.appended // BLOCK) if window.appended % BLOCK else b"",
        ).encode()

    def _block(self, number: int) -> bytes:
        window = self.window
        oldest = window.appended - window.length
        begin = window.end - window.appended  # place of row 0 in the buffer
        first = begin + max(BLOCK * number, oldest)
        stop = begin + min(BLOCK * (number + 1), window.appended)
        filled = 0
        for mark in window.filled[first:stop].tolist():
            filled = filled << 1 | mark
        return encode_block(number, filled, window.buffer[first:stop])

    @classmethod
    def decode(cls, head: bytes, blocks: Mapping[int, bytes] | None = None) -> Self:
        """Read a state from its stored bytes.

        Args:
            head: the bytes of the head.
            blocks: the blocks by the number of their field. The window begins after a missing block.

        Raises:
            StateError: the bytes are of another version or cut short.
        """
        return cls.decode_many([head], [blocks or {}])[0]

    @classmethod
    def decode_many(cls, heads: Sequence[bytes], blocks: Sequence[Mapping[int, bytes]]) -> list[Self]:
        """Read states as `decode` does; those of one shape share their memory."""
        states: dict[int, Self] = {}
        for places, decoded in decode_heads(heads):
            capacities = decoded.windows["capacity"]
            for capacity in np.unique(capacities).tolist():
                some = np.flatnonzero(capacities == capacity)
                chosen = [places[i] for i in some.tolist()]
                restored = cls._restored(decoded.chosen(some), capacity, [blocks[place] for place in chosen])
                states.update(zip(chosen, restored, strict=True))
        return [states[place] for place in range(len(heads))]

    @classmethod
    def _restored(cls, heads: StateHeads, capacity: int, blocks: Sequence[Mapping[int, bytes]]) -> list[Self]:
        """Return states of one shape, whose windows have the same capacity."""
        windows = heads.windows
        memory = WindowMemory(len(windows), capacity, len(heads.features))
        memory.numbers[:, :STORED] = windows.view(np.int64).reshape(-1, STORED)
        records = np.ascontiguousarray(heads.records)
        counts = zip(windows["length"].tolist(), windows["appended"].tolist(), strict=True)
        states = []
        for row, (stored, (length, appended)) in enumerate(zip(blocks, counts, strict=True)):
            state = cls(heads.features, Window.of(memory, row), heads.levels, heads.further, records, row)
            rows = rows_in(stored, heads.blocks[row], length, appended, capacity, len(heads.features))
            state._take_rows(*rows)
            states.append(state)
        for row in np.flatnonzero(heads.have_profiles()).tolist():
            window = states[row].window
            bins = [bins_in(blocks[row], season, window.profiles[season]) for season in range(SEASONS)]
            window.hold_bins(np.stack(bins))
        if heads.shadow_tests.shape[1]:
            for state, numbers, record in zip(states, heads.shadow_tests, heads.shadow_records, strict=True):
                state.probation = Probation.decode(numbers, record)
        return states

    def _take_rows(self, rows: Float, marks: Sequence[tuple[int, int, int]]) -> None:
        """Fill an empty window with its newest rows, and mark those that were filled."""
        window = self.window
        window.end = window.capacity
        window.length = len(rows)
        first = window.capacity - len(rows)
        window.buffer[first : window.capacity] = rows
        for bits, start, stop in marks:
            window.filled[first + start : first + stop] = [bits >> place & 1 for place in range(stop - start)][::-1]


@lru_cache
def _stored_names(features: tuple[str, ...]) -> bytes:
    """Return the names of features as a state stores them; thousands of series share the bytes."""
    return SEPARATOR.join(features).encode()


def _resized(record: Float, levels: int, further: int = 0) -> Float:
    """Return a copy of a record with another number of intervals or further steps."""
    resized = new_record(levels, further)
    kept = numbers_in(RECORD) + numbers_in(TRACKER)
    resized[:kept] = record[:kept]
    return resized


def decode_all(fields: Mapping[str, bytes]) -> dict[str, SeriesState]:
    """Read the states of a partition's series from the fields of its hash; blocks without a head are left out.

    Raises:
        StateError: a state was written by another version of the worker, or is cut short; the message names the field.
    """
    blocks: dict[str, dict[int, bytes]] = {}
    heads: dict[str, bytes] = {}
    for name, raw in fields.items():
        series, _, place = name.partition(SEPARATOR)
        if not place:
            heads[series] = raw
        elif _PLACE.fullmatch(place):
            blocks.setdefault(series, {})[int(place)] = raw
        else:
            raise StateError(f"the field {name!r} is not part of a state: delete this field")
    try:
        states = SeriesState.decode_many([*heads.values()], [blocks.get(series, {}) for series in heads])
    except StateError as exc:
        raise _named(heads, blocks) or exc from None
    return dict(zip(heads, states, strict=True))


def _named(heads: Mapping[str, bytes], blocks: Mapping[str, Mapping[int, bytes]]) -> StateError | None:
    """Return the error of the first state that cannot be read, with the name of its series."""
    for series, head in heads.items():
        try:
            SeriesState.decode_many([head], [blocks.get(series, {})])
        except StateError as exc:
            return StateError(f"the state of {series!r}: {exc}")
    return None
