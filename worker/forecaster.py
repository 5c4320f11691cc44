"""Pure: windows, models and a batch of readings in; forecasts and dispositions out. No Redis, no clock, no file."""

import math
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
from tidecast.wire import DeadLetter, Fields, Forecasts
from worker.blend import settle
from worker.engine import Engine, Question, Seat
from worker.horizons import Horizons
from worker.scoring import Tracker, anomaly_score
from worker.state import SeriesState, decode_all

Entry = tuple[str, Fields]  # the id and the fields of one entry of `readings`
DISPOSITIONS = ("forecast", "duplicate", "late", "dead")  # every reading ends with exactly one
PLAIN_FIELDS = 3  # series, ts and the target's: what most readings have, which are read by columns


@dataclass(slots=True)
class Outcome:
    """What a batch came to: all of it is committed together, or none."""

    last: str  # the id of the batch's last entry
    forecasts: Forecasts = field(default_factory=Forecasts)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by disposition; sums to the entries of the batch
    states: dict[str, bytes] = field(default_factory=dict)  # by field, of the series touched: what is new of them
    intervals: Counter[str] = field(default_factory=Counter)  # readings inside and outside their interval


# The classes below live for one batch, and there is one of each for every reading: frozen, they would take four times
# as long to make.


@dataclass(slots=True)
class Accepted:
    """A reading that took its place in its series' window, and what its experts need to answer it."""

    id: str
    series: str
    ts: int  # epoch milliseconds
    y: float
    state: SeriesState
    next_ts: int | None  # the time to forecast
    question: Question
    filled: int  # interpolated rows among those that the experts read
    skipped: bool  # whether steps were missing just before the reading, be they filled or too many to fill


@dataclass(slots=True)
class Settled:
    """What a reading made of the forecast that stood for it, and of the next one."""

    says: Float  # (experts,) their shares in the forecast
    leader: int  # the expert with the largest
    yhat: float
    error: float | None
    score: float | None
    half_widths: list[float | None]  # one for each level


@dataclass(slots=True)
class Member:
    """A series of the partition, and what the engine has for it."""

    series: str
    field: bytes | None  # its only feature's; None where it has several
    state: SeriesState
    seat: Seat | None
    reads: int  # how many rows its experts read


Plain = tuple[Member, int, tuple[float, ...]]  # a reading's series, its time in epoch milliseconds and its values


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
        self._members: dict[bytes, Member] = {}  # by the name as it stands in an entry
        self._levels = (settings.level, *settings.more_levels)
        self._horizons = Horizons(settings)

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all memory of the series by what was committed.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self.states, self._members = decode_all(states), {}
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
        outcome = Outcome(entries[-1][0], Forecasts(self.settings.level))
        read = self._read_plain(entries, now_ms)
        accepted = [a for each in zip(entries, read, strict=True) if (a := self._accept(*each, now_ms, outcome))]
        answers = self.engine.answers([one.question for one in accepted])
        settled = [self._settle(*each) for each in zip(accepted, answers, np.empty_like(answers), strict=True)]
        self._publish(accepted, settled, outcome.forecasts)
        outcome.forecasts.more |= self._horizons.ahead(self.engine, accepted, settled)
        outcome.counts["forecast"] = len(accepted)
        outcome.intervals.update("inside" if now.score <= 1 else "outside" for now in settled if now.score is not None)
        touched = {one.series: one.state for one in accepted}
        for series, state in touched.items():
            outcome.states |= state.changes(series)
        return outcome

    def _read_plain(self, entries: Sequence[Entry], now_ms: int) -> list[Plain | None]:
        """Read by columns the entries of known series with one feature; None: one needs a closer look."""
        found: list[Plain | None] = [None] * len(entries)
        chosen: list[tuple[int, Member]] = []
        values: list[bytes] = []
        times: list[bytes] = []
        for i, (_, fields) in enumerate(entries):
            member = self._members.get(fields.get(b"series", b"")) if len(fields) == PLAIN_FIELDS else None
            if member and member.field and member.field in fields and b"ts" in fields:
                chosen.append((i, member))
                values.append(fields[member.field])
                times.append(fields[b"ts"])
        if chosen:
            for (i, member), y, ts in zip(chosen, *wire.parse_plain(values, times, now_ms), strict=True):
                if ts != wire.NEEDS_A_LOOK and not math.isnan(y):
                    found[i] = member, ts, (y,)
        return found

    def _accept(self, entry: Entry, plain: Plain | None, now_ms: int, outcome: Outcome) -> Accepted | None:
        try:
            member, ts, values = plain or self._read(entry, now_ms)
        except BadReading as exc:
            outcome.dead.append(DeadLetter(entry[0], exc.reason, str(exc), entry[1]))
            outcome.counts["dead"] += 1
            return None
        window = member.state.window
        relation = window.accepts(ts)
        if relation != "next":
            outcome.counts[relation] += 1
            return None
        missing = window.push(ts, values, self.settings.max_gap)
        return self._ask(entry[0], member, ts, values[0], skipped=missing > 0 or window.length == 1)

    def _read(self, entry: Entry, now_ms: int) -> Plain:
        """Read an entry of any kind.

        Raises:
            BadReading: it is none that can be answered.
        """
        entry_id, fields = entry
        wire.check_size(fields, self.settings.max_entry_bytes)
        series = wire.series_of(fields)
        wire.check_partition(series, self._partition, self._partitions)
        state = self.states.get(series)
        features = state.features if state else self._features(series)
        reading = wire.parse_reading(entry_id, fields, series, features, now_ms)
        if not state:
            self._meet(series)
        return self._members[series.encode()], reading.ts, reading.values

    def _ask(self, entry_id: str, member: Member, ts: int, y: float, *, skipped: bool) -> Accepted:
        state, seat, reads = member.state, member.seat, member.reads
        window = state.window
        step = window.step
        next_ts = None if step is None else ts + round(step)
        cohort = seat.shared if seat else None
        if seat is None and (cohort := self.engine.cohort_of(step, state.features[0])):
            # A young series learns its step, and so its cohort, while it runs.
            reads = self.engine.rows_of(None, cohort)
            window.reshape(max(window.capacity, reads), range(len(state.features)))
        held = min(window.length, reads)
        question = Question(seat, cohort, window.newest(held), next_ts or ts)
        return Accepted(entry_id, member.series, ts, y, state, next_ts, question, window.filled_in(held), skipped)

    def _settle(self, one: Accepted, answers: Float, says: Float) -> Settled:
        """Score what stood, let every expert's record learn from it, and blend the next forecast into `says`."""
        state, seat, y = one.state, one.question.seat, one.y
        trackers = state.trackers
        if len(trackers) != len(self._levels):  # a new series, or other levels are asked for than before
            trackers = [*trackers[:1], *(Tracker() for _ in self._levels)][: len(self._levels)]
            state.trackers = trackers
        error = None if state.standing is None else y - state.standing
        score = None if error is None else anomaly_score(error, trackers[0].standing)
        learned = None
        if seat and seat.version != state.version:
            self._begin(state, seat)
        elif seat is None or one.ts > seat.trained_until:  # what a model has learned from says nothing of it
            learned = y
            if error is not None:
                for tracker, level in zip(trackers, self._levels, strict=True):
                    tracker.settle(error, level)
        yhat, leader = settle(state.errors, state.answers, learned, answers, says)
        yhat = self._bounded(yhat)
        state.answers[:], state.standing = answers, yhat
        for tracker in trackers:
            tracker.standing = tracker.known
        return Settled(says, leader, yhat, error, score, [tracker.standing for tracker in trackers])

    def _begin(self, state: SeriesState, seat: Seat) -> None:
        """Start a model's records from its held-out tail: another model's errors are no guide to it."""
        state.errors, state.version = seat.errors.copy(), seat.version
        state.ahead[:] = np.nan
        state.ahead_trackers = [Tracker() for _ in state.ahead_trackers]
        state.trackers[0].begin(seat.half_width)
        for tracker in state.trackers[1:]:
            tracker.begin(0.0)

    def _publish(self, accepted: Sequence[Accepted], settled: Sequence[Settled], into: Forecasts) -> None:
        """Write the forecasts field by field."""
        into.id = [one.id for one in accepted]
        into.series = [one.series for one in accepted]
        into.ts = [one.next_ts for one in accepted]
        into.yhat = [now.yhat for now in settled]
        into.yhat_lower, into.yhat_upper = self._bounds(settled, 0)
        into.origin = [one.ts for one in accepted]
        into.model = [one.question.seat.version if one.question.seat else None for one in accepted]
        into.kind = [EXPERTS[now.leader] for now in settled]
        into.y = [one.y for one in accepted]
        into.error = [now.error for now in settled]
        into.anomaly_score = [now.score for now in settled]
        into.filled = [one.filled for one in accepted]
        for i, level in enumerate(self._levels[1:], 1):
            lower, upper = self._bounds(settled, i)
            into.more |= {f"yhat_lower_{level * 100:g}": lower, f"yhat_upper_{level * 100:g}": upper}

    def _bounds(self, settled: Sequence[Settled], level: int) -> tuple[list[float | None], list[float | None]]:
        """The ends of the intervals of one level; None where no error is known."""
        known = [(now.yhat, now.half_widths[level]) for now in settled]
        lower = [None if half is None else self._bounded(yhat - half) for yhat, half in known]
        upper = [None if half is None else self._bounded(yhat + half) for yhat, half in known]
        return lower, upper

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
        if state is None:
            return
        if seat:
            rows = max(self.settings.rows_kept, self.rows_read(series))
            state.wear(seat.features, rows, seat.step_ms, gridded=seat.gridded)
        else:
            target = self.settings.target
            features = state.features if state.features[0] == target else (target,)
            state.wear(features, state.window.capacity, None, gridded=True)
        reads = self.engine.rows_of(seat, seat.shared if seat else None)
        field = state.features[0].encode() if len(state.features) == 1 else None
        self._members[series.encode()] = Member(series, field, state, seat, reads)
