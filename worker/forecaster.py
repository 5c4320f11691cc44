"""Pure: windows, models and a batch of readings in; forecasts and dispositions out. No Redis, no clock, no file."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tidecast import wire
from tidecast.errors import BadReading
from tidecast.model import Model
from tidecast.settings import SeriesSettings
from tidecast.windows import Float, Window
from tidecast.wire import DeadLetter, Fields, Forecast, Reading
from worker.engine import Engine, Seat
from worker.scoring import anomaly_score
from worker.state import SeriesState

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`
DISPOSITIONS = ("forecast", "duplicate", "late", "dead")  # every reading ends with exactly one


@dataclass(slots=True)
class Outcome:
    """What a batch came to: all of it is committed together, or none."""

    last: str  # the id of the batch's last entry
    forecasts: list[Forecast] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by disposition; sums to the entries of the batch
    states: dict[str, bytes] = field(default_factory=dict)  # by series, of the series touched


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A reading that took its place in its series' window, and what its model needs to answer it."""

    reading: Reading
    state: SeriesState
    ts: int | None  # the time to forecast
    seat: Seat | None  # None: the last value answers
    rows: Float | None  # (window, features)
    filled: int


class Forecaster:
    """All series of one partition: their states and their champions."""

    def __init__(self, settings: SeriesSettings) -> None:
        self.settings = settings
        self.engine = Engine()
        self.states: dict[str, SeriesState] = {}

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all memory of the series by what was committed.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self.states = {series: SeriesState.decode(raw) for series, raw in states.items()}
        for series in self.states:
            self._fit(series)

    def adopt(self, series: str, version: int, model: Model) -> None:
        """Let a model answer for the series from the next batch on."""
        self.engine.put(series, version, model)
        self._fit(series)

    def dismiss(self, series: str) -> None:
        """Let the last value answer for the series from the next batch on."""
        self.engine.drop(series)
        self._fit(series)

    def handle(self, entries: Sequence[Entry], now_ms: int) -> Outcome:
        """Answer a batch of entries in their order.

        Windows first, then every model in one call, then the scores: only those depend on the forecasts.
        """
        outcome = Outcome(last=entries[-1][0])
        accepted = [a for entry in entries if (a := self._accept(entry, now_ms, outcome))]
        for one, yhat in zip(accepted, self._answers(accepted), strict=True):
            outcome.forecasts.append(self._publish(one, yhat))
        outcome.counts["forecast"] = len(accepted)
        touched = {one.reading.series: one.state for one in accepted}
        outcome.states = {series: state.encode() for series, state in touched.items()}
        return outcome

    def _accept(self, entry: Entry, now_ms: int, outcome: Outcome) -> _Accepted | None:
        entry_id, fields = entry
        try:
            series = wire.series_of(fields)
            state = self.states.get(series)
            features = state.features if state else self._features(series)
            reading = wire.parse_reading(entry_id, fields, series, features, now_ms)
        except BadReading as exc:
            outcome.dead.append(DeadLetter(entry_id, exc.reason, str(exc), fields))
            outcome.counts["dead"] += 1
            return None
        state = state or self._meet(series)
        relation = state.window.accepts(reading.ts)
        if relation != "next":
            outcome.counts[relation] += 1
            return None
        state.window.push(reading.ts, np.array(reading.values), self.settings.max_gap)
        return self._ask(reading, state)

    def _ask(self, reading: Reading, state: SeriesState) -> _Accepted:
        step = state.window.step
        ts = None if step is None else reading.ts + round(step)
        seat = self.engine.seat(reading.series)
        rows = state.window.latest(seat.spec.window) if seat else None
        if seat is None or rows is None:
            return _Accepted(reading, state, ts, None, None, 0)
        return _Accepted(reading, state, ts, seat, rows, state.window.filled_in(seat.spec.window))

    def _answers(self, accepted: Sequence[_Accepted]) -> list[float | None]:
        """What each reading's model answers; None where there is none, or it answers no finite number."""
        answers: list[float | None] = [None] * len(accepted)
        asked = [(i, one.seat, one.rows) for i, one in enumerate(accepted) if one.seat and one.rows is not None]
        found = self.engine.forecast([seat for _, seat, _ in asked], [rows for _, _, rows in asked])
        for (i, _, _), yhat in zip(asked, found.tolist(), strict=True):
            answers[i] = yhat if math.isfinite(yhat) else None
        return answers

    def _publish(self, one: _Accepted, answer: float | None) -> Forecast:
        state, reading, level = one.state, one.reading, self.settings.level
        seat = one.seat if answer is not None else None
        y = reading.values[0]
        yhat = y if answer is None else answer  # no model knows better: the last value
        error = score = None
        if state.standing is not None:
            error = y - state.standing
            score = anomaly_score(error, state.standing_half)
            state.tracker.settle(error, level)
        if seat and seat.version != state.version:
            state.tracker.begin(seat.half_width)
            state.version = seat.version
        half = state.tracker.known
        state.standing, state.standing_half = yhat, half
        return Forecast(
            id=reading.id,
            series=reading.series,
            ts=one.ts,
            yhat=yhat,
            yhat_lower=None if half is None else yhat - half,
            yhat_upper=None if half is None else yhat + half,
            level=level,
            origin=reading.ts,
            model=seat.version if seat else None,
            kind="lstm" if seat else "naive",
            y=y,
            error=error,
            anomaly_score=score,
            filled=one.filled if seat else 0,
        )

    def _features(self, series: str) -> tuple[str, ...]:
        seat = self.engine.seat(series)
        return seat.spec.features if seat else (self.settings.target,)

    def _meet(self, series: str) -> SeriesState:
        features = self._features(series)
        self.states[series] = SeriesState(features, Window(self.settings.rows_kept, len(features)))
        self._fit(series)
        return self.states[series]

    def _fit(self, series: str) -> None:
        """Give a series' window the shape that its champion, if it has one, needs."""
        state, seat = self.states.get(series), self.engine.seat(series)
        if state and seat:
            capacity = max(self.settings.rows_kept, seat.spec.window)
            state.wear(seat.spec.features, capacity, seat.step_ms)
        elif state:
            target = self.settings.target
            features = state.features if state.features[0] == target else (target,)
            state.wear(features, state.window.capacity, None)
