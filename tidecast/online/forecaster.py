"""The forecaster of a partition: it turns a batch of readings into forecasts, without Redis, clock or files."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Float
from tidecast.errors import BadReading
from tidecast.models.experts import EXPERTS
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.models.model import Model
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.drift import KINDS, Drift
from tidecast.online.engine import Engine, ModelSlot, PredictionRequest
from tidecast.online.horizons import Horizons
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.scoring import NOTHING, BatchScores, Champions, Readings, settle
from tidecast.online.kernels.window_loops import DUPLICATE
from tidecast.online.shadow_tests import ShadowTests
from tidecast.online.state import SeriesState, decode_all
from tidecast.online.state_encoder import changes_of
from tidecast.online.window import Window, take
from tidecast.settings import SeriesSettings
from tidecast.wire import DeadLetter, Event, Forecasts, parsing

EVENTS_ONE_BY_ONE = 10  # new series in one batch that get an event each; more than that share one event
PLAIN_FIELDS = 3  # series, ts and the target: most readings have just these, and are parsed by columns


@dataclass(slots=True)
class SeriesEntry:
    """A series of the partition with its model in the engine, as the loops need it."""

    series: str
    field: bytes | None  # the field of its only feature; None where it has several
    state: SeriesState
    slot: ModelSlot | None
    reads: int  # how many rows its experts read
    errors: int  # address of its model's first errors; `slot` keeps the array alive
    shadow: ModelSlot | None  # the former champion, while the current one is on trial


# Not frozen: a batch makes one for every reading, and a frozen one takes four times as long to make.
@dataclass(slots=True)
class Accepted:
    """A reading that its series' window accepted, and the data that the experts need to forecast the next one."""

    id: str
    member: SeriesEntry
    ts: int  # epoch milliseconds
    y: float
    next_ts: int | None  # the time to forecast
    question: PredictionRequest
    filled: int  # interpolated rows among those that the experts read
    skipped: bool  # whether steps were missing just before the reading, filled or not
    doubted: int  # doubted readings in a row, this one last
    moves: float  # the series' usual largest move, 0 if it is not known


Parsed = tuple[SeriesEntry, int, tuple[float, ...]]  # a reading's series, its time in epoch milliseconds and its values


class Forecaster:
    """All series of one partition: their states and their champions.

    Args:
        settings: the settings of the series.
        engine: the models, shared by all partitions of a worker.
        partition: the number of this partition; readings of another partition's series are dead letters.
        partitions: the number of partitions.
        probation: over how many readings a new champion is compared with the former one; 0 turns that off.

    Attributes:
        states: the states by series.
        trials: the shadow tests of new champions.
    """

    def __init__(
        self,
        settings: SeriesSettings,
        engine: Engine | None = None,
        partition: int = 0,
        partitions: int = 1,
        probation: int = 0,
    ) -> None:
        self.settings = settings
        self.engine = Engine() if engine is None else engine  # an engine without models is falsy
        self._partition = partition
        self._partitions = partitions
        self.states: dict[str, SeriesState] = {}
        self.shadow_tests = ShadowTests(self.engine, probation)
        self._new_series: list[str] = []  # series that are new in the current batch
        self._members: dict[bytes, SeriesEntry] = {}  # by the series' name, as bytes of an entry
        self._levels = np.array([settings.level, *settings.more_levels])
        low = settings.minimum
        high = settings.maximum
        self._bounds = (-math.inf if low is None else low, math.inf if high is None else high)
        self._horizons = Horizons(settings)

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all states by the committed ones.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        restored = decode_all(states)
        self.states = {}
        self._members = {}
        self.shadow_tests.forget()
        self._add(restored)

    def remember(self, states: Mapping[str, bytes]) -> None:
        """Add the committed states of some series, all fields of each.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self._add(decode_all(states))

    def _add(self, states: dict[str, SeriesState]) -> None:
        self.states |= states
        for series in states:
            self._fit(series)

    def set_model(self, series: str, version: int, model: Model, *, published: bool = True) -> None:
        """Let a model forecast the series from the next batch on.

        Args:
            series: the series to forecast.
            version: the model's version.
            model: the new champion.
            published: whether the gate chose it. If it is also newer than the champion so far, a shadow test of the
                two begins.
        """
        self.engine.put(series, version, model, published=published)
        self._fit(series)

    def attach_shadow(self, series: str, version: int, model: Model) -> None:
        """Run the former champion as a shadow of the new one from the next batch on."""
        state = self.states.get(series)
        slot = self.engine.slot(series)
        if state and state.probation and slot and model.spec.features == slot.features:
            self.engine.put_shadow(series, version, model)
            state.resume_shadow()
            self._fit(series)
        else:
            self.end_shadow_test(series)

    def end_shadow_test(self, series: str) -> None:
        """End the shadow test of a series' champion."""
        if state := self.states.get(series):
            state.probation = None
        self._fit(series)

    def set_shared_network(self, cohort: str, model: Model) -> None:
        """Let a shared network forecast all series of a cohort from the next batch on."""
        self.engine.put_shared(cohort, model)
        self.reshape_windows()

    def reshape_windows(self) -> None:
        """Change every series' window to the shape that the present models need."""
        for series in self.states:
            self._fit(series)

    def remove_model(self, series: str) -> None:
        """Forecast the series by its last value from the next batch on."""
        self.engine.drop(series)
        self._fit(series)

    def rows_read(self, series: str) -> int:
        """Return how many rows the experts of a series read at most; without a model, all rows of its window."""
        slots = [slot for slot in (self.engine.slot(series), self.engine.shadow(series)) if slot]
        return max((self.engine.rows_of(slot, slot.shared) for slot in slots), default=self.settings.rows_kept)

    def handle(self, entries: Sequence[Entry], now_ms: int) -> BatchResult:
        """Forecast a batch of entries in their order.

        Windows come first, then all experts in one call, then the scores. Only the scores depend on the forecasts.
        """
        outcome = BatchResult(entries[-1][0], Forecasts(self.settings.level))
        parsed = self._parsed(entries, now_ms, outcome)
        accepted = self._accepted(entries, parsed, outcome)
        tried = [i for i, reading in enumerate(accepted) if reading.member.shadow and reading.member.state.probation]
        asked = [reading.question for reading in accepted] + [_of_the_former(accepted[i]) for i in tried]
        answers = self.engine.answers(asked)
        scores = self._settle(accepted, answers[: len(accepted)])
        if tried:
            outcome.events += self._compare([accepted[i] for i in tried], tried, scores, answers[len(accepted) :])
        self._publish(accepted, scores, outcome.forecasts)
        outcome.forecasts.more |= self._horizons.ahead(self.engine, accepted, scores)
        outcome.counts["forecast"] = len(accepted)
        outcome.intervals["inside"] = int((scores.score <= 1).sum())
        outcome.intervals["outside"] = int((scores.score > 1).sum())
        outcome.drifts = _drifts(accepted, scores)
        outcome.events += [*_creations(self._new_series), *(drift.event for drift in outcome.drifts)]
        self._new_series = []
        outcome.states = changes_of({reading.member.series: reading.member.state for reading in accepted})
        return outcome

    def _parsed(self, entries: Sequence[Entry], now_ms: int, outcome: BatchResult) -> list[Parsed | None]:
        """Parse the entries; None stands for one that became a dead letter."""
        parsed = self._read_plain(entries, now_ms)
        without_ts: set[int] = set()
        for i, entry in enumerate(entries):
            if parsed[i] is None:
                try:
                    parsed[i], has_ts = self._read(entry, now_ms)
                except BadReading as exc:
                    outcome.dead.append(DeadLetter(entry[0], exc.reason, str(exc), entry[1]))
                    outcome.counts["dead"] += 1
                    continue
                if not has_ts:
                    without_ts.add(i)
        if without_ts:
            _put_in_order(parsed, without_ts)
        return parsed

    def _read_plain(self, entries: Sequence[Entry], now_ms: int) -> list[Parsed | None]:
        """Parse the plain entries of known series with one feature by columns; None stands for all others."""
        parsed: list[Parsed | None] = [None] * len(entries)
        chosen: list[tuple[int, SeriesEntry]] = []
        values: list[bytes] = []
        times: list[bytes] = []
        for i, (_, fields) in enumerate(entries):
            member = self._members.get(fields.get(b"series", b"")) if len(fields) == PLAIN_FIELDS else None
            if member and member.field and member.field in fields and b"ts" in fields:
                chosen.append((i, member))
                values.append(fields[member.field])
                times.append(fields[b"ts"])
        if chosen:
            for (i, member), y, ts in zip(chosen, *parsing.parse_plain(values, times, now_ms), strict=True):
                if ts != parsing.NEEDS_A_LOOK and not math.isnan(y):
                    parsed[i] = member, ts, (y,)
        return parsed

    def _read(self, entry: Entry, now_ms: int) -> tuple[Parsed, bool]:
        """Parse an entry of any kind, and return whether it was sent with a time.

        Raises:
            BadReading: the entry is not a valid reading of this partition.
        """
        entry_id, fields = entry
        parsing.check_size(fields, self.settings.max_entry_bytes)
        series = parsing.series_of(fields)
        parsing.check_partition(series, self._partition, self._partitions)
        state = self.states.get(series)
        features = state.features if state else self._features(series)
        reading = parsing.parse_reading(entry_id, fields, series, features, now_ms)
        if not state:
            self._add_series(series)
        return (self._members[series.encode()], reading.ts, reading.values), reading.has_ts

    def _accepted(
        self, entries: Sequence[Entry], parsed: Sequence[Parsed | None], outcome: BatchResult
    ) -> list[Accepted]:
        """Put each reading into its series' window, and prepare the question for the experts."""
        results: list[Accepted | str | None] = [None] * len(entries)
        with_model: list[int] = []
        for i, reading in enumerate(parsed):
            if reading is None:
                continue
            if reading[0].slot:
                with_model.append(i)
            else:
                results[i] = self._accept_young(entries[i][0], *reading)
        if with_model:
            chosen = [(entries[i][0], *reading) for i in with_model if (reading := parsed[i])]
            for i, accepted in zip(with_model, self._accept_together(chosen), strict=True):
                results[i] = accepted
        outcome.counts.update(result for result in results if isinstance(result, str))
        return [result for result in results if isinstance(result, Accepted)]

    def _accept_together(
        self, readings: Sequence[tuple[str, SeriesEntry, int, tuple[float, ...]]]
    ) -> Iterator[Accepted | str]:
        """Put readings of series with a model into their windows, in one call."""
        ids, members, times, values = zip(*readings, strict=True)
        reads = np.array([member.reads for member in members])
        widths = [len(row) for row in values]
        widest = max(widths)
        if min(widths) < widest:
            values = tuple((*row, *[math.nan] * (widest - len(row))) for row in values)
        taken = take(
            np.array([member.state.window.address for member in members]),
            np.array(times),
            np.array(values),
            reads,
            self.settings.max_gap,
            _history_limits([member.slot for member in members]),
        )
        held = np.minimum(taken.lengths, reads)
        ends = (held * widths).cumsum()
        counts = (taken.missing, taken.lengths, held, ends, taken.filled, taken.doubted)
        columns = [column.tolist() for column in (*counts, taken.steps, taken.moves)]
        for i, (missing, length, count, end, marked, doubted, step, moves) in enumerate(zip(*columns, strict=True)):
            if missing < 0:
                yield "duplicate" if missing == DUPLICATE else "late"
                continue
            member = members[i]
            ts = times[i]
            width = widths[i]
            next_ts = ts + round(step) if step else None
            newest = taken.rows[end - count * width : end].reshape(count, width)
            slot = member.slot
            question = PredictionRequest(slot, slot.shared if slot else None, newest, next_ts or ts)
            skipped = missing > 0 or length == 1
            y = values[i][0]
            yield Accepted(ids[i], member, ts, y, next_ts, question, marked, skipped, doubted, moves)

    def _accept_young(self, entry_id: str, member: SeriesEntry, ts: int, values: tuple[float, ...]) -> Accepted | str:
        """Put a reading of a series without a model into its window, and find its cohort once its step is known."""
        state = member.state
        window = member.state.window
        reads = member.reads
        relation = window.accepts(ts)
        if relation != "next":
            return relation
        missing = window.push(ts, values, self.settings.max_gap)
        step = window.step
        next_ts = None if step is None else ts + round(step)
        cohort = self.engine.cohort_of(step, state.features[0])
        if cohort:
            reads = self.engine.rows_of(None, cohort)
            window.reshape(max(window.capacity, reads), range(len(state.features)))
        held = min(window.length, reads)
        question = PredictionRequest(None, cohort, window.newest(held), next_ts or ts)
        skipped = missing > 0 or window.length == 1
        filled = window.filled_in(held)
        doubted = window.doubted
        moves = window.largest_move
        return Accepted(entry_id, member, ts, values[0], next_ts, question, filled, skipped, doubted, moves)

    def _settle(self, accepted: Sequence[Accepted], answers: Float) -> BatchScores:
        """Score the pending forecasts, update every expert's record, and blend the next forecasts."""
        members = [reading.member for reading in accepted]
        scores = self._scores(
            accepted,
            answers,
            [member.state.address for member in members],
            [member.slot for member in members],
            [member.errors for member in members],
        )
        for i in np.flatnonzero(
            scores.begun
        ):  # errors of the previous model do not apply, nor do those of further steps
            state = members[i].state
            state.ahead[:] = np.nan
            state.ahead_trackers = [Tracker() for _ in state.ahead_trackers]
        return scores

    def _scores(
        self,
        accepted: Sequence[Accepted],
        answers: Float,
        records: list[int],
        slots: Sequence[ModelSlot | None],
        errors: list[int],
    ) -> BatchScores:
        """Score readings against the records and first errors at these addresses."""
        return settle(
            np.array(records, np.int64),
            Readings(
                np.array([reading.ts for reading in accepted], np.int64),
                np.array([reading.y for reading in accepted], np.float64),
                np.array([reading.skipped for reading in accepted], np.int64),
                np.array([reading.doubted for reading in accepted], np.int64),
                np.array([reading.moves for reading in accepted], np.float64),
            ),
            answers,
            Champions(
                np.array([slot.version if slot else 0 for slot in slots], np.int64),
                np.array(errors, np.int64),
                np.array([slot.half_width if slot else 0.0 for slot in slots], np.float64),
                np.array([slot.trained_until if slot else 0 for slot in slots], np.int64),
            ),
            self._levels,
            self._bounds,
        )

    def _compare(
        self, some: Sequence[Accepted], tried: Sequence[int], scores: BatchScores, answers: Float
    ) -> Iterator[Event]:
        """Compare champions on trial with their shadows' forecasts, `answers`; yield an event per finished test."""
        former = [reading.member.shadow for reading in some]
        records = [address_of(trial.record) if (trial := reading.member.state.probation) else 0 for reading in some]
        errors = [address_of(slot.errors) if slot else 0 for slot in former]
        shadows = self._scores(some, answers, records, former, errors)
        columns = (scores.error[tried], scores.begun[tried], shadows.error)
        for reading, error, begun, shadow_error in zip(some, *columns, strict=True):
            trial = reading.member.state.probation
            slot = reading.member.slot
            if slot is None or trial is None:  # the test ended with an earlier reading of the batch
                continue
            trial.last_ts = reading.ts
            # The first reading settles a forecast of the former model. A model knows the readings that it learned from.
            known = begun or reading.ts <= slot.trained_until or reading.doubted
            event = self.shadow_tests.compare(reading.member.series, trial, math.nan if known else error, shadow_error)
            if event:
                yield event
            if event and not trial.to_roll_back:
                self.end_shadow_test(reading.member.series)

    def _publish(self, accepted: Sequence[Accepted], scores: BatchScores, into: Forecasts) -> None:
        """Write the forecasts field by field."""
        into.id = [reading.id for reading in accepted]
        into.series = [reading.member.series for reading in accepted]
        into.ts = [reading.next_ts for reading in accepted]
        into.yhat = scores.yhat.tolist()
        into.yhat_lower, into.yhat_upper = self._interval(scores, 0)
        into.origin = [reading.ts for reading in accepted]
        into.model = [reading.member.slot.version if reading.member.slot else None for reading in accepted]
        into.kind = [EXPERTS[leader] for leader in scores.leader.tolist()]
        into.y = [reading.y for reading in accepted]
        into.error = _known(scores.error)
        into.anomaly_score = _known(scores.score)
        into.filled = [reading.filled for reading in accepted]
        for i, level in enumerate(self.settings.more_levels, 1):
            lower, upper = self._interval(scores, i)
            into.more |= {f"yhat_lower_{level * 100:g}": lower, f"yhat_upper_{level * 100:g}": upper}

    def _interval(self, scores: BatchScores, level: int) -> tuple[list[float | None], list[float | None]]:
        """Return the lower and upper ends of the intervals of one level; None where no error is known."""
        half = scores.half_widths[:, level]
        low, high = (np.clip(scores.yhat + side * half, *self._bounds) for side in (-1, 1))
        return _known(low), _known(high)

    def _features(self, series: str) -> tuple[str, ...]:
        slot = self.engine.slot(series)
        return slot.features if slot else (self.settings.target,)

    def _add_series(self, series: str) -> SeriesState:
        if len(self.states) >= self.settings.max_series:
            raise BadReading(
                "series_cap",
                f"series {parsing.quoted(series.encode())} would be one more than the {self.settings.max_series} that "
                "a partition remembers: raise series.max_series, or use more partitions",
            )
        features = self._features(series)
        self.states[series] = SeriesState(features, Window(self.settings.rows_kept, len(features)))
        self._new_series.append(series)
        self._fit(series)
        return self.states[series]

    def _fit(self, series: str) -> None:
        """Give a series' window the shape that its champion needs, and look up its shadow test."""
        state = self.states.get(series)
        slot = self.engine.slot(series)
        if state is None:
            return
        state.expect_levels(len(self._levels))
        shadow = self.shadow_tests.shadow(series, state, slot)
        if slot:
            rows = max(self.settings.rows_kept, self.rows_read(series))
            state.reshape_to(slot.features, rows, slot.step_ms, gridded=slot.gridded)
        else:
            target = self.settings.target
            features = state.features if state.features[0] == target else (target,)
            state.reshape_to(features, state.window.capacity, None, gridded=True)
        field = state.features[0].encode() if len(state.features) == 1 else None
        reads = self.rows_read(series) if slot else self.engine.rows_of(None, None)
        errors = address_of(slot.errors) if slot else 0
        self._members[series.encode()] = SeriesEntry(series, field, state, slot, reads, errors, shadow)


def _put_in_order(parsed: list[Parsed | None], without_ts: set[int]) -> None:
    """Move readings without a `ts` to a millisecond after their series' newest, where their own time is not later.

    Such a reading is new, because its entry id is higher: two may arrive in one millisecond, and a clock may be set
    back.
    """
    newest: dict[str, int] = {}
    for i, reading in enumerate(parsed):
        if reading is None:
            continue
        member, ts, values = reading
        before = newest.get(member.series, member.state.window.last_ts)
        if i in without_ts and ts <= before:
            ts = before + 1
            parsed[i] = member, ts, values
        newest[member.series] = max(before, ts)


def _history_limits(slots: Sequence[ModelSlot | None]) -> tuple[Float, Float, Float]:
    """Return the usual largest moves, lowest and highest values of the models' histories, as `take` reads them."""
    known = [slot.known if slot else NO_LIMITS for slot in slots]
    usual = np.array([slot.largest_move if slot else 0.0 for slot in slots])
    return usual, np.array([low for low, _ in known]), np.array([high for _, high in known])


def _of_the_former(accepted: Accepted) -> PredictionRequest:
    """Return the question for the shadow of a champion on trial."""
    shadow = accepted.member.shadow
    question = accepted.question
    return PredictionRequest(shadow, shadow.shared if shadow else None, question.rows, question.next_ts)


def _creations(series: Sequence[str]) -> list[Event]:
    """Return an event for each new series; many at once share one event."""
    if len(series) <= EVENTS_ONE_BY_ONE:
        return [Event("series_created", "first reading received", name) for name in series]
    return [
        Event(
            "series_created",
            f"first readings received of {len(series)} series: {', '.join(series[:EVENTS_ONE_BY_ONE])}, …",
        )
    ]


def _drifts(accepted: Sequence[Accepted], scores: BatchScores) -> list[Drift]:
    """Return the changes of series that were detected in a batch."""
    drifts = []
    for i in np.flatnonzero(scores.drift != NOTHING).tolist():
        reading = accepted[i]
        kind = KINDS[scores.drift[i]]
        statistic = float(scores.statistic[i])
        drifts.append(Drift(reading.member.series, reading.id, reading.ts, kind, statistic))
    return drifts


def _known(numbers: Float) -> list[float | None]:
    """Return the numbers, with None for NaN."""
    return [None if number != number else number for number in numbers.tolist()]
