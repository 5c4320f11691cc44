"""The state of a series in memory; `wire/state_format.py` defines the bytes in which every commit stores it."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.series_record import ONLINE_AT, named, new_record, trackers_of
from tidecast.online.shadow_test import Probation
from tidecast.online.window import STORED, Window, bits_of, mark
from tidecast.wire.state_format import (
    BIN_BLOCK,
    BIN_BLOCKS,
    BLOCK,
    NUMBER,
    RECORD,
    SEASONS,
    SEPARATOR,
    TRACKER,
    WINDOW,
    StateHead,
    bin_place,
    block_field,
    encode_bins,
    encode_block,
    numbers_in,
)


class SeriesState:
    """The state of one series: its features, its window, the pending forecast and every expert's errors.

    All numbers lie in two arrays, the window's numbers and the record, in the stored format.

    Attributes:
        features: the names of the features, the target first.
        names: the same names as stored bytes.
        window: the rows.
        record: `(numbers,)`, a `RECORD`, a `TRACKER` for each level, and the further steps.
        fields: the same numbers by name, without the trackers; a view.
        address: the memory address of the record.
        levels: the number of intervals.
        further: the number of further steps.
        probation: the shadow test of a new champion, if there is one.
    """

    __slots__ = (
        "address",
        "features",
        "fields",
        "further",
        "levels",
        "names",
        "probation",
        "record",
        "window",
    )

    def __init__(
        self,
        features: tuple[str, ...],
        window: Window,
        levels: int = 1,
        further: int = 0,
        record: Float | None = None,
    ) -> None:
        self.window = window
        self.levels = levels
        self.further = further
        self.probation: Probation | None = None
        self._call(features)
        self.use_record(new_record(levels, further) if record is None else record)

    def _call(self, features: tuple[str, ...]) -> None:
        self.features = features
        self.names = SEPARATOR.join(features).encode()

    def use_record(self, record: Float) -> None:
        """Continue with another record of the same levels and further steps, `(numbers,)`."""
        self.record = record
        self.fields: Any = named(record)
        self.address = address_of(record)

    @property
    def pending_forecast(self) -> float | None:
        """Return the forecast that the next reading will settle, in the series' unit."""
        forecast = float(self.fields.pending_forecast)
        return None if np.isnan(forecast) else forecast

    @property
    def last_version(self) -> int:
        """Return the version of the model that the errors belong to; 0: no model has forecast yet."""
        return int(self.fields.last_version)

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

    @property
    def trackers(self) -> list[Tracker]:
        """Return an interval tracker for each level, on the record's numbers."""
        return [Tracker.on(numbers) for numbers in trackers_of(self.record, self.levels)]

    def expect(self, levels: int, further: int) -> None:
        """Change the number of intervals, of which the first is kept, and of further steps, which then begin anew."""
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
        known = {name: i for i, name in enumerate(self.features)}
        self.window.reshape(capacity, [known.get(name) for name in features])
        self.window.step_ms = step_ms
        self.window.gridded = gridded
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
        """Return the fields to write now, by name: the head, and each block with rows that are not yet stored."""
        window = self.window
        fields = {series: self.head()}
        first = window.appended - min(window.unsaved, window.length)
        for number in range(first // BLOCK, -(-window.appended // BLOCK)):
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
        """Return the bytes of the head, which holds everything but the rows."""
        nothing = np.zeros(0)
        probation = self.probation
        return StateHead(
            self.features,
            self.window.stored,
            self.levels,
            self.further,
            self.record,
            probation.numbers if probation else nothing,
            probation.record if probation else nothing,
        ).encode()

    def _block(self, number: int) -> bytes:
        window = self.window
        oldest = window.appended - window.length
        begin = window.end - window.appended  # place of row 0 in the buffer
        first = begin + max(BLOCK * number, oldest)
        stop = begin + min(BLOCK * (number + 1), window.appended)
        return encode_block(number, bits_of(window, first, stop), window.buffer[first:stop])

    @classmethod
    def decode(cls, head: bytes, blocks: Mapping[int, bytes] | None = None) -> Self:
        """Read a state from its stored bytes.

        Args:
            head: the bytes of the head.
            blocks: the blocks by the number of their field. The window begins after a missing block.

        Raises:
            StateError: the bytes are of another version or cut short.
        """
        stored = StateHead.decode(head)
        window = Window(int(stored.window.capacity), len(stored.features))
        window.numbers[:STORED].view(WINDOW)[0] = stored.window
        state = cls(stored.features, window, stored.levels, stored.further, stored.record.copy())
        if len(stored.shadow_test):
            state.probation = Probation.decode(stored.shadow_test, stored.shadow_record)
        state._take_rows(stored, blocks or {})
        if window.profiles.period.any():
            window.hold_bins(np.stack([stored.bins(season, blocks or {}) for season in range(SEASONS)]))
        return state

    def _take_rows(self, stored: StateHead, blocks: Mapping[int, bytes]) -> None:
        """Fill the window from its blocks, back to the newest missing one."""
        window = self.window
        rows, marks = stored.rows(blocks)
        window.end = window.capacity
        window.length = len(rows)
        first = window.capacity - len(rows)
        window.buffer[first : window.capacity] = rows
        for bits, start, stop in marks:
            mark(window, bits, first + start, first + stop)


def _resized(record: Float, levels: int, further: int = 0) -> Float:
    """Return a copy of a record with another number of intervals or further steps."""
    resized = new_record(levels, further)
    kept = numbers_in(RECORD) + numbers_in(TRACKER)
    resized[:kept] = record[:kept]
    return resized


def _by_series(fields: Mapping[str, bytes]) -> Iterator[tuple[str, bytes, dict[int, bytes]]]:
    """Yield each series of a partition's hash with its head and its blocks; blocks without a head are left out."""
    blocks: dict[str, dict[int, bytes]] = {}
    heads: dict[str, bytes] = {}
    for name, raw in fields.items():
        series, _, place = name.partition(SEPARATOR)
        if place:
            blocks.setdefault(series, {})[int(place)] = raw
        else:
            heads[series] = raw
    for series, head in heads.items():
        yield series, head, blocks.get(series, {})


def decode_all(fields: Mapping[str, bytes]) -> dict[str, SeriesState]:
    """Read the states of a partition's series from the fields of its hash.

    Raises:
        StateError: a state was written by another version of the worker, or is cut short.
    """
    return {series: SeriesState.decode(head, blocks) for series, head, blocks in _by_series(fields)}
