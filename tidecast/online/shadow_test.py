"""The shadow test: compare the live errors of a new champion with those of the former one.

The former champion runs on as a shadow, from its own live record. The difference of the two absolute errors is tested
by the method of Diebold & Mariano ("Comparing predictive accuracy", 1995). One step ahead, the differences need no
correction for autocorrelation. The new champion is worse if the mean difference is above zero by `FINAL` standard
errors after all readings of the probation. A champion that is far worse is detected earlier: as in trials of medicines
(Peto et al. 1976), the test is also made on the way, with a higher limit.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.model import Model
from tidecast.online.engine import Engine
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.kernels.series_record import named
from tidecast.online.slab import ModelSlot
from tidecast.wire import Event
from tidecast.wire.state_format import SHADOW_TEST, numbers_in, record_numbers

if TYPE_CHECKING:
    from tidecast.online.batch import Batch
    from tidecast.online.series.series_entry import SeriesEntry
    from tidecast.online.series.state import SeriesState

FINAL = 2.33  # standard errors: an equally good model is called worse in one test of a hundred
INTERIM = 4.0  # standard errors, on the way: the test is repeated at every reading
FIRST_LOOK = 10  # readings: fewer give no useful standard error


class Probation:
    """The shadow test of one new champion.

    Attributes:
        version: the champion's version.
        former: the version that it is compared with.
        record: the record of the former champion, `(numbers,)`.
        numbers: the numbers of a `SHADOW_TEST`.
    """

    __slots__ = ("_fields", "numbers", "record")

    def __init__(self, numbers: Float, record: Float) -> None:
        self.numbers = numbers
        self.record = record
        self._fields: Any = numbers.view(SHADOW_TEST)[0]

    @classmethod
    def of(cls, version: int, former: int, record: Float, last_ts: int) -> Self:
        """Begin a shadow test."""
        probation = cls(np.zeros(numbers_in(SHADOW_TEST)), record)
        probation._fields.version = version
        probation._fields.former = former
        probation.last_ts = last_ts
        return probation

    @classmethod
    def decode(cls, numbers: Float, record: Float) -> Self:
        """Read a shadow test from the stored numbers of a `SHADOW_TEST`, and its record."""
        return cls(numbers.copy(), record.copy())

    @property
    def version(self) -> int:
        """Return the champion's version."""
        return int(self._fields.version)

    @property
    def former(self) -> int:
        """Return the version that the champion is compared with."""
        return int(self._fields.former)

    @property
    def readings(self) -> int:
        """Return how many readings were compared."""
        return int(self._fields.readings)

    @property
    def to_roll_back(self) -> bool:
        """Return whether the champion was found worse; it stays so until the former one has replaced it."""
        return bool(self._fields.to_roll_back)

    @property
    def last_ts(self) -> int:
        """Return the time of the last reading that the former champion has processed, epoch milliseconds."""
        return int(self._fields.last_ts)

    @last_ts.setter
    def last_ts(self, ts: int) -> None:
        self._fields.last_ts = ts

    def resume(self, last_ts: int) -> None:
        """Continue with the former champion loaded: its pending forecasts count unless it has missed readings.

        Args:
            last_ts: the time of the series' newest reading, epoch milliseconds.
        """
        if self.last_ts != last_ts:
            record = named(self.record)
            record.pending_forecast = np.nan
            record.answers[:] = np.nan

    def compare(self, error: float, shadow_error: float) -> None:
        """Add the errors of both forecasts of a reading; NaN: that model had no forecast."""
        difference = abs(error) - abs(shadow_error)
        if math.isfinite(difference):
            self._fields.readings += 1
            self._fields.differences += difference
            self._fields.squares += difference**2

    def verdict(self, enough: int) -> bool | None:
        """Return whether the champion is confirmed, after `enough` readings; None while that is undecided."""
        if self.readings >= min(enough, FIRST_LOOK) and self.standard_errors > (
            FINAL if self.readings >= enough else INTERIM
        ):
            self._fields.to_roll_back = 1
            return False
        return True if self.readings >= enough else None

    @property
    def standard_errors(self) -> float:
        """Return by how many standard errors the champion's mean absolute error is above the former one's."""
        n = self.readings
        if n < 2:
            return 0.0
        mean = float(self._fields.differences) / n
        variance = max(0.0, float(self._fields.squares) / n - mean**2) * n / (n - 1)
        if variance == 0:
            return math.inf if mean > 0 else 0.0
        return float(mean / math.sqrt(variance / n))

    def event(self, series: str) -> Event:
        """Return the event that reports the verdict."""
        kind = "rolled_back" if self.to_roll_back else "confirmed"
        detail = (
            f"over {self.readings} readings its mean absolute error less that of version {self.former} was "
            f"{self._fields.differences / max(1, self.readings):.4g}, {self.standard_errors:.1f} standard errors"
        )
        return Event(kind, detail, series, self.version)


class ShadowTests:
    """The running shadow tests of a partition; they begin and end as models change.

    Args:
        engine: the models, which runs the former champions as shadows.
        enough: the readings of a shadow test; 0 turns the tests off.

    Attributes:
        shadows_to_load: by series, the version of the former champion that must still be loaded.
        to_roll_back: by series, the version that was found worse, and the former version that will replace it.
    """

    def __init__(self, engine: Engine, enough: int) -> None:
        self._engine = engine
        self._enough = enough
        self.shadows_to_load: dict[str, int] = {}
        self.to_roll_back: dict[str, tuple[int, int]] = {}

    def forget(self) -> None:
        """Clear the memory of the tests; the tests themselves are restored with the states."""
        self.shadows_to_load = {}
        self.to_roll_back = {}

    def forget_series(self, series: str) -> None:
        """Clear the memory of one series' test."""
        self.shadows_to_load.pop(series, None)
        self.to_roll_back.pop(series, None)

    def update(self, series: str, state: "SeriesState", slot: ModelSlot | None) -> ModelSlot | None:
        """Begin or end a series' shadow test; return the former champion if it is loaded, to run as the shadow.

        A version newer than the one that forecast so far starts a test. An older version, no model, or a version that
        somebody promoted by hand ends a test.

        Args:
            series: the series.
            state: its state.
            slot: its present champion.
        """
        _begin_or_end(state, slot, slot if slot and slot.published and self._enough else None)
        self.forget_series(series)
        probation = state.probation
        if probation is None:
            self._engine.drop_shadow(series)
            return None
        if probation.to_roll_back:
            self.to_roll_back[series] = probation.version, probation.former
        shadow = self._engine.shadow(series)
        if shadow and shadow.version == probation.former:
            return shadow
        self.shadows_to_load[series] = probation.former
        return None

    def attach(self, series: str, state: "SeriesState | None", version: int, model: Model) -> None:
        """Run the former champion as a shadow; end the test if it does not read the champion's features."""
        slot = self._engine.slot(series)
        if state and state.probation and slot and model.spec.features == slot.features:
            self._engine.put_shadow(series, version, model)
            state.probation.resume(state.window.last_ts)
        elif state:
            state.probation = None

    def compare(
        self,
        batch: "Batch",
        chosen: Int64,
        entries: Sequence["SeriesEntry"],
        champions: BatchScores,
        shadow_errors: Float,
    ) -> list[Event]:
        """Compare champions with their shadows; return an event for each test that has ended with these readings.

        Args:
            batch: the accepted readings.
            chosen: `(some,)` the places of the readings whose series are on probation.
            entries: their series.
            champions: the scores of all readings of the batch.
            shadow_errors: `(some,)`, readings less the pending forecasts of the shadows.
        """
        columns = (champions.error[chosen], champions.new_model[chosen], shadow_errors)
        events = []
        for i, entry, error, new_model, shadow_error in zip(chosen.tolist(), entries, *columns, strict=True):
            probation = entry.state.probation
            if entry.slot is None or probation is None:  # the test ended with an earlier reading of the batch
                continue
            ts = int(batch.readings.ts[i])
            probation.last_ts = ts
            # The first reading settles a forecast of the former model. A model knows the readings that it learned from.
            known = new_model or ts <= entry.slot.trained_until or batch.readings.doubted[i]
            if event := self._judge(entry.series, probation, math.nan if known else error, shadow_error):
                events.append(event)
                if not probation.to_roll_back:
                    entry.state.probation = None
        return events

    def _judge(self, series: str, probation: Probation, error: float, shadow_error: float) -> Event | None:
        """Add the errors of a reading, where NaN does not count; return the event if the test has now ended."""
        if probation.to_roll_back:
            return None
        probation.compare(error, shadow_error)
        confirmed = probation.verdict(self._enough)
        if confirmed is None:
            return None
        if not confirmed:
            self.to_roll_back[series] = probation.version, probation.former
        return probation.event(series)


def begin(state: "SeriesState", version: int) -> None:
    """Begin a shadow test of a new version against the champion so far, or against the shadow of a running test."""
    running = state.probation
    former = running.former if running else state.last_version
    record = running.record if running else state.record
    last_ts = running.last_ts if running else state.window.last_ts
    state.probation = Probation.of(version, former, record.copy(), last_ts)


def end(state: "SeriesState", version: int) -> None:
    """End a series' shadow test; if the former model is the champion `version` again, continue with its record.

    The watch, the experts that learn from every reading and the intervals of further steps belong to the series, so
    they continue from where they are.
    """
    probation = state.probation
    if probation and probation.former == version and len(probation.record) == len(state.record):
        for part in ("online", "watch", "anomaly"):
            named(probation.record)[part] = state.fields[part]
        further = record_numbers(state.levels)
        probation.record[further:] = state.record[further:]
        state.use_record(probation.record)
    state.probation = None


def _begin_or_end(state: "SeriesState", slot: ModelSlot | None, candidate: ModelSlot | None) -> None:
    """Begin a test of a newer candidate; end one whose champion has changed otherwise."""
    probation = state.probation
    if candidate and 0 < state.last_version < candidate.version and candidate.features == state.features:
        if probation is None or probation.version != candidate.version:
            begin(state, candidate.version)
    elif probation and (
        candidate is None or probation.version != candidate.version or len(probation.record) != len(state.record)
    ):
        end(state, slot.version if slot else 0)
