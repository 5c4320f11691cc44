"""The series of one partition: their states, and their models as the loops of a batch read them."""

from collections.abc import Mapping

import numpy as np

from tidecast.arrays import Int64
from tidecast.errors import BadReading
from tidecast.models.model import NewestRows
from tidecast.online.engine import Engine
from tidecast.online.kernels.detection.anomalies import rule_numbers
from tidecast.online.kernels.pointers import address_of
from tidecast.online.series.series_columns import SeriesColumns
from tidecast.online.series.series_entry import SeriesEntry
from tidecast.online.series.series_names import SeriesNames
from tidecast.online.series.state import SeriesState, decode_all
from tidecast.online.shadow_test import ShadowTests
from tidecast.online.window import Window
from tidecast.settings import AnomalySettings, SeriesSettings
from tidecast.settings.patterns import matches
from tidecast.wire import Event, parsing

EVENTS_ONE_BY_ONE = 10  # new series in one batch that get an event each; more than that share one event


class PartitionSeries:
    """The series of one partition.

    Args:
        settings: the settings of the series.
        engine: the models.
        shadow_tests: the shadow tests of new champions, which begin and end as models change.
        anomalies: the rules of anomalies.

    Attributes:
        states: the states by series.
        entries: the series by name.
        columns: the series as the loops read them, by number.
        names: the names of series and features as the parser looks them up.
    """

    def __init__(
        self, settings: SeriesSettings, engine: Engine, shadow_tests: ShadowTests, anomalies: AnomalySettings
    ) -> None:
        self.states: dict[str, SeriesState] = {}
        self.entries: dict[str, SeriesEntry] = {}
        self.columns = SeriesColumns()
        self.names = SeriesNames()
        self._by_number: list[SeriesEntry | None] = []
        self._settings = settings
        self._engine = engine
        self._shadow_tests = shadow_tests
        rules = [*anomalies.rules()]
        self._rule_numbers = [rule_numbers(rule) for _, rule in rules]
        self._rules = [
            (pattern, rule.muted, address_of(numbers))
            for (pattern, rule), numbers in zip(rules, self._rule_numbers, strict=True)
        ]
        self._created: list[str] = []  # since the last call of `creations`

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all states by the committed ones.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        restored = decode_all(states)
        self.states = {}
        self.entries = {}
        self.columns = SeriesColumns()
        self.names = SeriesNames()
        self._by_number = []
        self._shadow_tests.forget()
        self._add_all(restored)

    def remember(self, states: Mapping[str, bytes]) -> None:
        """Add the committed states of some series, all fields of each.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self._add_all(decode_all(states))

    def _add_all(self, states: dict[str, SeriesState]) -> None:
        self.states |= states
        for series in states:
            self.refresh(series)

    def delete(self, series: str) -> None:
        """Forget a series, its models and its shadow test; no batch with readings of it may be under way."""
        self._forget_state(series)
        self._engine.drop(series)
        self._engine.drop_shadow(series)

    def rename(self, old: str, new: str) -> None:
        """Continue a series under a new name, which replaces a series of that name; as for `delete`."""
        self._engine.rename(old, new)
        if state := self._forget_state(old):
            self._forget_state(new)
            self.states[new] = state
        self.refresh(new)

    def hand_over(self, old: str, new: str) -> None:
        """Forget a series that another partition continues under a new name; its models stay, under that name."""
        self._engine.rename(old, new)
        self._forget_state(old)

    def _forget_state(self, series: str) -> SeriesState | None:
        """Forget the state of a series; return it."""
        self._shadow_tests.forget_series(series)
        if entry := self.entries.pop(series, None):
            self._by_number[entry.number] = None
            self.columns["due"][entry.number] = 0
            self.names.remove(entry.number)
        return self.states.pop(series, None)

    def entry(self, number: int) -> SeriesEntry:
        """Return the series of this number, which was not forgotten."""
        entry = self._by_number[number]
        assert entry is not None  # noqa: S101 - no batch with its readings was under way when it was forgotten
        return entry

    def touched(self, *numbers: Int64) -> Int64:
        """Return these numbers of series, each once and in order; sorting a batch of them would take longer."""
        marks = np.zeros(len(self._by_number), np.bool_)
        for some in numbers:
            marks[some] = True
        return np.flatnonzero(marks)

    def names_of(self, numbers: Int64) -> list[str]:
        """Return the names of the series of these numbers."""
        listed = self.names.listed
        return [listed[number] for number in numbers.tolist()]

    def add_series(self, series: str, ts: int) -> None:
        """Begin a state for a new series; its window holds the rows of its model's history before the first reading.

        Args:
            series: the series.
            ts: the time of its first reading, epoch milliseconds.

        Raises:
            BadReading: the partition remembers as many series as it may.
        """
        if len(self.states) >= self._settings.max_series:
            raise BadReading(
                "too_many_series",
                f"series {parsing.quoted(series.encode())} would be one more than the {self._settings.max_series} that "
                "a partition remembers: raise series.max_series, or use more partitions",
            )
        features = self.features_of(series)
        self.states[series] = SeriesState(features, Window(self._settings.rows_kept, len(features)))
        self._created.append(series)
        self.refresh(series)
        slot = self._engine.slot(series)
        if slot and slot.newest and len(older := slot.newest.before(ts)):
            self.states[series].window.put_before(older, 0)
        if slot and slot.profiles and ts <= slot.trained_until:  # the profiles have learned these readings already
            self.states[series].window.profiles.next_row += 1 + round((slot.trained_until - ts) / slot.step_ms)

    def features_of(self, series: str) -> tuple[str, ...]:
        """Return the features that are read from a series' entries, the target first."""
        if state := self.states.get(series):
            return state.features
        slot = self._engine.slot(series)
        return slot.features if slot else (self._settings.target,)

    def rows_read(self, series: str) -> int:
        """Return how many rows the experts of a series read at most; without a model, all rows of its window."""
        slots = [slot for slot in (self._engine.slot(series), self._engine.shadow(series)) if slot]
        return max((self._engine.rows_of(slot, slot.shared) for slot in slots), default=self._settings.rows_kept)

    def refresh_all(self) -> None:
        """Refresh every series, because a shared network has changed."""
        for series in self.states:
            self.refresh(series)

    def refresh(self, series: str) -> None:
        """Give a series' window the shape that its models need, and update its shadow test and its entry."""
        state = self.states.get(series)
        if state is None:
            return
        slot = self._engine.slot(series)
        state.expect(1 + len(self._settings.more_levels), self._settings.horizon - 1)
        shadow = self._shadow_tests.update(series, state, slot)
        if slot:
            rows_read = self.rows_read(series)
            rows_kept = max(self._settings.rows_kept, rows_read)
            state.reshape_to(slot.features, rows_kept, slot.step_ms, gridded=slot.gridded)
            if slot.newest:
                _complete(state.window, slot.newest, rows_read)
            if slot.online is not None and slot.version != state.last_version:
                state.take_online(slot.online, slot.trained_until)
            if slot.profiles and slot.version != state.last_version:
                state.window.take_profiles(slot.profiles, slot.trained_until)
        else:
            target = self._settings.target
            features = state.features if state.features[0] == target else (target,)
            capacity = max(state.window.capacity, self._engine.rows_without_model(target))
            state.reshape_to(features, capacity, None, gridded=True)
            rows_read = state.window.capacity
        entry = self.entries.get(series) or self._new_entry(series, state)
        entry.state = state
        entry.slot = slot
        entry.shadow = shadow
        self.names.set_features(entry.number, state.features)
        self.columns.set(entry, self._engine, rows_read)

    def _new_entry(self, series: str, state: SeriesState) -> SeriesEntry:
        muted, rule = next((muted, rule) for pattern, muted, rule in self._rules if matches(series, pattern))
        entry = SeriesEntry(len(self._by_number), series, state, muted, rule)
        self._by_number.append(entry)
        self.entries[series] = entry
        self.names.add(series)
        return entry

    def creations(self) -> list[Event]:
        """Return an event for each series that is new since the last call; many at once share one event."""
        created = self._created
        self._created = []
        if len(created) <= EVENTS_ONE_BY_ONE:
            return [Event("series_created", "first reading received", name) for name in created]
        some = ", ".join(created[:EVENTS_ONE_BY_ONE])
        return [Event("series_created", f"first readings received of {len(created)} series: {some}, …")]


def _complete(window: Window, newest: NewestRows, rows_read: int) -> None:
    """Put the rows of a model's history before those of a window that has too few rows, or lacks a feature of them.

    The window stays as it is without a grid, and if rows are missing between the two.
    """
    lacks_values = window.width > 1 and bool(np.isnan(window.rows).any())
    if not window.length or not window.gridded or not (lacks_values or window.length < rows_read):
        return
    older = newest.before(window.last_ts + 1)
    step = window.step
    if not step or not len(older):
        return
    newer = round((window.last_ts - int(older.ts[-1])) / step)
    needed = min(window.length, rows_read) if lacks_values else window.length + 1
    if newer <= window.length and newer + len(older) >= needed:
        window.put_before(older, newer)
