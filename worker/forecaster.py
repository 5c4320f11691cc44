"""Pure: windows, models and a batch of readings in; forecasts and dispositions out. No Redis, no clock, no file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tidecast import wire
from tidecast.errors import BadReading
from tidecast.experts import EXPERTS
from tidecast.model import Model
from tidecast.settings import SeriesSettings
from tidecast.windows import Float, Window
from tidecast.wire import DeadLetter, Fields, Forecast, Reading
from worker.blend import blend, learn
from worker.engine import Engine, Question, Seat
from worker.horizons import Horizons
from worker.scoring import Tracker, anomaly_score
from worker.state import SeriesState, decode_all

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`
DISPOSITIONS = ("forecast", "duplicate", "late", "dead")  # every reading ends with exactly one


@dataclass(slots=True)
class Outcome:
    """What a batch came to: all of it is committed together, or none."""

    last: str  # the id of the batch's last entry
    forecasts: list[Forecast] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by disposition; sums to the entries of the batch
    states: dict[str, bytes] = field(default_factory=dict)  # by field, of the series touched: what is new of them
    intervals: Counter[str] = field(default_factory=Counter)  # readings inside and outside their interval


@dataclass(frozen=True, slots=True)
class Accepted:
    """A reading that took its place in its series' window, and what its experts need to answer it."""

    reading: Reading
    state: SeriesState
    ts: int | None  # the time to forecast
    question: Question
    filled: int  # interpolated rows among those that the experts read
    skipped: bool  # whether steps were missing just before the reading, be they filled or too many to fill


@dataclass(frozen=True, slots=True)
class Settled:
    """What a reading made of the forecast that stood for it, and of the next one."""

    says: Float  # (experts,) their shares in the forecast
    yhat: float
    error: float | None
    score: float | None
    half_widths: tuple[float | None, ...]  # one for each level


class Forecaster:
    """All series of one partition: their states and their champions.

    Args:
        settings: of the series.
        engine: the models, which the partitions of a worker share.
        partition: which one this is; readings of another's series are dead letters.
        partitions: of how many.
    """

    def __init__(
        self, settings: SeriesSettings, engine: Engine | None = None, partition: int = 0, partitions: int = 1
    ) -> None:
        self.settings = settings
        self.engine = Engine() if engine is None else engine  # an engine without models is false
        self._partition, self._partitions = partition, partitions
        self.states: dict[str, SeriesState] = {}
        self._levels = (settings.level, *settings.more_levels)
        self._horizons = Horizons(settings)

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all memory of the series by what was committed.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self.states = decode_all(states)
        for series in self.states:
            self._fit(series)

    def adopt(self, series: str, version: int, model: Model) -> None:
        """Let a model answer for the series from the next batch on."""
        self.engine.put(series, version, model)
        self._fit(series)

    def adopt_shared(self, cohort: str, model: Model) -> None:
        """Let a network answer for all series of a cohort from the next batch on."""
        self.engine.put_shared(cohort, model)
        self.refit()

    def refit(self) -> None:
        """Give every series' window the shape that the models now need."""
        for series in self.states:
            self._fit(series)

    def dismiss(self, series: str) -> None:
        """Let the last value answer for the series from the next batch on."""
        self.engine.drop(series)
        self._fit(series)

    def rows_read(self, series: str) -> int:
        """How many rows the experts of a series read at most; of one without a model, all that its window keeps."""
        seat = self.engine.seat(series)
        return self.engine.rows_of(seat, seat.shared) if seat else self.settings.rows_kept

    def handle(self, entries: Sequence[Entry], now_ms: int) -> Outcome:
        """Answer a batch of entries in their order.

        Windows first, then every expert in one call, then the scores: only those depend on the forecasts.
        """
        outcome = Outcome(last=entries[-1][0])
        accepted = [a for entry in entries if (a := self._accept(entry, now_ms, outcome))]
        answers = self.engine.answers([one.question for one in accepted])
        settled = [self._settle(one, said) for one, said in zip(accepted, answers, strict=True)]
        more = self._horizons.ahead(self.engine, accepted, settled)
        for one, now, further in zip(accepted, settled, more, strict=True):
            outcome.forecasts.append(self._forecast(one, now, further))
        outcome.counts["forecast"] = len(accepted)
        outcome.intervals.update("inside" if now.score <= 1 else "outside" for now in settled if now.score is not None)
        touched = {one.reading.series: one.state for one in accepted}
        for series, state in touched.items():
            outcome.states |= state.changes(series)
        return outcome

    def _accept(self, entry: Entry, now_ms: int, outcome: Outcome) -> Accepted | None:
        entry_id, fields = entry
        try:
            wire.check_size(fields, self.settings.max_entry_bytes)
            series = wire.series_of(fields)
            wire.check_partition(series, self._partition, self._partitions)
            state = self.states.get(series)
            features = state.features if state else self._features(series)
            reading = wire.parse_reading(entry_id, fields, series, features, now_ms)
            state = state or self._meet(series)
        except BadReading as exc:
            outcome.dead.append(DeadLetter(entry_id, exc.reason, str(exc), fields))
            outcome.counts["dead"] += 1
            return None
        relation = state.window.accepts(reading.ts)
        if relation != "next":
            outcome.counts[relation] += 1
            return None
        missing = state.window.push(reading.ts, np.array(reading.values), self.settings.max_gap)
        return self._ask(reading, state, skipped=missing > 0 or state.window.length == 1)

    def _ask(self, reading: Reading, state: SeriesState, *, skipped: bool) -> Accepted:
        window, seat = state.window, self.engine.seat(reading.series)
        ts = None if window.step is None else reading.ts + round(window.step)
        cohort = seat.shared if seat else self.engine.cohort_of(window.step, state.features[0])
        if seat is None and cohort:  # a young series learns its step, and so its cohort, while it runs
            window.reshape(max(window.capacity, self.engine.rows_of(None, cohort)), range(len(state.features)))
        held = min(window.length, self.engine.rows_of(seat, cohort))
        rows = window.latest(held)
        if rows is None:
            raise AssertionError("a window holds the reading that was just pushed")
        question = Question(seat, cohort, rows, ts or reading.ts)
        return Accepted(reading, state, ts, question, window.filled_in(held), skipped)

    def _settle(self, one: Accepted, answers: Float) -> Settled:
        """Score what stood, let every expert's record learn from it, and blend the next forecast."""
        state, reading, seat = one.state, one.reading, one.question.seat
        y = reading.values[0]
        if len(state.trackers) != len(self._levels):  # a new series, or other levels are asked for than before
            state.trackers = [*state.trackers[:1], *(Tracker() for _ in self._levels)][: len(self._levels)]
        error = None if state.standing is None else y - state.standing
        score = None if error is None else anomaly_score(error, state.trackers[0].standing)
        if seat and seat.version != state.version:
            self._begin(state, seat)
        elif seat is None or reading.ts > seat.trained_until:  # what a model has learned from says nothing of it
            learn(state.errors, state.answers, y)
            for tracker, level in zip(state.trackers, self._levels, strict=True):
                if error is not None:
                    tracker.settle(error, level)
        says = np.empty(len(EXPERTS))
        yhat = self._bounded(blend(state.errors, answers, says))
        state.answers, state.standing = answers, yhat
        for tracker in state.trackers:
            tracker.standing = tracker.known
        return Settled(says, yhat, error, score, tuple(tracker.standing for tracker in state.trackers))

    def _begin(self, state: SeriesState, seat: Seat) -> None:
        """Start a model's records from its held-out tail: another model's errors are no guide to it."""
        state.errors, state.version = seat.errors.copy(), seat.version
        state.ahead[:] = np.nan
        state.ahead_trackers = [Tracker() for _ in state.ahead_trackers]
        state.trackers[0].begin(seat.half_width)
        for tracker in state.trackers[1:]:
            tracker.begin(0.0)

    def _forecast(self, one: Accepted, now: Settled, further: tuple[tuple[str, float], ...]) -> Forecast:
        reading, seat = one.reading, one.question.seat
        lower, upper = self._interval(now.yhat, now.half_widths[0])
        more: list[tuple[str, float]] = []
        for level, half in zip(self._levels[1:], now.half_widths[1:], strict=True):
            bounds = self._interval(now.yhat, half)
            more += [
                (f"yhat_{side}_{level * 100:g}", bound)
                for side, bound in zip(("lower", "upper"), bounds, strict=True)
                if bound is not None
            ]
        return Forecast(
            id=reading.id,
            series=reading.series,
            ts=one.ts,
            yhat=now.yhat,
            yhat_lower=lower,
            yhat_upper=upper,
            level=self.settings.level,
            origin=reading.ts,
            model=seat.version if seat else None,
            kind=EXPERTS[int(now.says.argmax())],
            y=reading.values[0],
            error=now.error,
            anomaly_score=now.score,
            filled=one.filled,
            more=(*more, *further),
        )

    def _interval(self, yhat: float, half: float | None) -> tuple[float | None, float | None]:
        return (None, None) if half is None else (self._bounded(yhat - half), self._bounded(yhat + half))

    def _bounded(self, value: float) -> float:
        low, high = self.settings.minimum, self.settings.maximum
        value = value if low is None else max(low, value)
        return value if high is None else min(high, value)

    def _features(self, series: str) -> tuple[str, ...]:
        seat = self.engine.seat(series)
        return seat.features if seat else (self.settings.target,)

    def _meet(self, series: str) -> SeriesState:
        if len(self.states) >= self.settings.max_series:
            raise BadReading(
                "series_cap",
                f"series {wire.quoted(series.encode())} would be one more than the {self.settings.max_series} that a "
                "partition remembers: raise series.max_series, or use more partitions",
            )
        features = self._features(series)
        self.states[series] = SeriesState(features, Window(self.settings.rows_kept, len(features)))
        self._fit(series)
        return self.states[series]

    def _fit(self, series: str) -> None:
        """Give a series' window the shape that its champion, if it has one, needs."""
        state, seat = self.states.get(series), self.engine.seat(series)
        if state and seat:
            rows = max(self.settings.rows_kept, self.rows_read(series))
            state.wear(seat.features, rows, seat.step_ms, gridded=seat.gridded)
        elif state:
            target = self.settings.target
            features = state.features if state.features[0] == target else (target,)
            state.wear(features, state.window.capacity, None, gridded=True)
