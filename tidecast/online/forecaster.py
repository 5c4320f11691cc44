"""Pure: windows, models and a batch of readings in; forecasts and dispositions out. No Redis, no clock, no file."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.errors import BadReading
from tidecast.models.experts import EXPERTS
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.models.model import Model
from tidecast.models.time_grid import Float
from tidecast.online.batch import Entry, Outcome
from tidecast.online.drift import KINDS, Drift
from tidecast.online.engine import Engine, Question, Seat
from tidecast.online.horizons import Horizons
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.pointers import address_of
from tidecast.online.kernels.scoring import NOTHING, Champions, Readings, Scores, settle
from tidecast.online.shadow_tests import Trials
from tidecast.online.state import SeriesState, decode_all
from tidecast.online.state_encoder import changes_of
from tidecast.online.window import DUPLICATE, Window, take
from tidecast.settings import SeriesSettings
from tidecast.wire import DeadLetter, Event, Forecasts, parsing

MET_ONE_BY_ONE = 10  # series that are new in one batch: of more, one event tells
PLAIN_FIELDS = 3  # series, ts and the target's: what most readings have, which are read by columns


@dataclass(slots=True)
class Member:
    """A series of the partition and what the engine has for it, as the loops need it."""

    series: str
    field: bytes | None  # its only feature's; None where it has several
    state: SeriesState
    seat: Seat | None
    reads: int  # how many rows its experts read
    errors: int  # where its model's first errors lie, which `seat` keeps
    shadow: Seat | None  # of the former champion, while the seat's is on trial


# Not frozen: a batch has one for every reading, and frozen they take four times as long to make.
@dataclass(slots=True)
class Accepted:
    """A reading that took its place in its series' window, and what its experts need to answer it."""

    id: str
    member: Member
    ts: int  # epoch milliseconds
    y: float
    next_ts: int | None  # the time to forecast
    question: Question
    filled: int  # interpolated rows among those that the experts read
    skipped: bool  # whether steps were missing just before the reading, be they filled or too many to fill
    doubted: int  # how many readings in a row, this one last, are not believed
    moves: float  # the series' usual largest move, 0 if it is not known


Parsed = tuple[Member, int, tuple[float, ...]]  # a reading's series, its time in epoch milliseconds and its values


class Forecaster:
    """All series of one partition: their states and their champions.

    Args:
        settings: of the series.
        engine: the models, which the partitions of a worker share.
        partition: which one this is; readings of another's series are dead letters.
        partitions: of how many.
        probation: over how many readings a new champion is compared with the former; 0: it is not.

    Attributes:
        states: by series.
        trials: of new champions.
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
        self.engine = Engine() if engine is None else engine  # an engine without models is false
        self._partition, self._partitions = partition, partitions
        self.states: dict[str, SeriesState] = {}
        self.trials = Trials(self.engine, probation)
        self._met: list[str] = []  # series, in the batch at hand
        self._members: dict[bytes, Member] = {}  # by the name as it stands in an entry
        self._levels = np.array([settings.level, *settings.more_levels])
        low, high = settings.minimum, settings.maximum
        self._bounds = (-math.inf if low is None else low, math.inf if high is None else high)
        self._horizons = Horizons(settings)

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all memory of the series by what was committed.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        found = decode_all(states)
        self.states, self._members = {}, {}
        self.trials.forget()
        self._add(found)

    def remember(self, states: Mapping[str, bytes]) -> None:
        """Add what was committed of some series, all fields of each.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self._add(decode_all(states))

    def _add(self, found: dict[str, SeriesState]) -> None:
        self.states |= found
        for series in found:
            self._fit(series)

    def adopt(self, series: str, version: int, model: Model, *, published: bool = True) -> None:
        """Let a model answer for the series from the next batch on.

        Args:
            series: whose.
            version: the model's.
            model: what answers.
            published: the gate chose it: if it is newer than the one that answered, it stands on trial beside that.
        """
        self.engine.put(series, version, model, published=published)
        self._fit(series)

    def accompany(self, series: str, version: int, model: Model) -> None:
        """Let the former champion of one on trial answer beside it from the next batch on."""
        state, seat = self.states.get(series), self.engine.seat(series)
        if state and state.probation and seat and model.spec.features == seat.features:
            self.engine.put_shadow(series, version, model)
            state.accompany()
            self._fit(series)
        else:
            self.acquit(series)

    def acquit(self, series: str) -> None:
        """Compare a series' champion with no other."""
        if state := self.states.get(series):
            state.probation = None
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
        seats = [seat for seat in (self.engine.seat(series), self.engine.shadow(series)) if seat]
        return max((self.engine.rows_of(seat, seat.shared) for seat in seats), default=self.settings.rows_kept)

    def handle(self, entries: Sequence[Entry], now_ms: int) -> Outcome:
        """Answer a batch of entries in their order.

        Windows first, then every expert in one call, then the scores: only those depend on the forecasts.
        """
        outcome = Outcome(entries[-1][0], Forecasts(self.settings.level))
        parsed = self._parsed(entries, now_ms, outcome)
        accepted = self._accepted(entries, parsed, outcome)
        tried = [i for i, one in enumerate(accepted) if one.member.shadow and one.member.state.probation]
        asked = [one.question for one in accepted] + [_of_the_former(accepted[i]) for i in tried]
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
        outcome.events += [*_meetings(self._met), *(drift.event for drift in outcome.drifts)]
        self._met = []
        outcome.states = changes_of({one.member.series: one.member.state for one in accepted})
        return outcome

    def _parsed(self, entries: Sequence[Entry], now_ms: int, outcome: Outcome) -> list[Parsed | None]:
        """Read the entries; None: one became a dead letter."""
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
        """Read by columns the entries of known series with one feature; None: one needs a closer look."""
        found: list[Parsed | None] = [None] * len(entries)
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
            for (i, member), y, ts in zip(chosen, *parsing.parse_plain(values, times, now_ms), strict=True):
                if ts != parsing.NEEDS_A_LOOK and not math.isnan(y):
                    found[i] = member, ts, (y,)
        return found

    def _read(self, entry: Entry, now_ms: int) -> tuple[Parsed, bool]:
        """Read an entry of any kind, and return whether it was sent with a time.

        Raises:
            BadReading: it is none that can be answered.
        """
        entry_id, fields = entry
        parsing.check_size(fields, self.settings.max_entry_bytes)
        series = parsing.series_of(fields)
        parsing.check_partition(series, self._partition, self._partitions)
        state = self.states.get(series)
        features = state.features if state else self._features(series)
        reading = parsing.parse_reading(entry_id, fields, series, features, now_ms)
        if not state:
            self._meet(series)
        return (self._members[series.encode()], reading.ts, reading.values), reading.has_ts

    def _accepted(self, entries: Sequence[Entry], parsed: Sequence[Parsed | None], outcome: Outcome) -> list[Accepted]:
        """Give each reading its place in its series' window, and ask the experts for the next."""
        found: list[Accepted | str | None] = [None] * len(entries)
        with_model: list[int] = []
        for i, one in enumerate(parsed):
            if one is None:
                continue
            if one[0].seat:
                with_model.append(i)
            else:
                found[i] = self._accept_young(entries[i][0], *one)
        if with_model:
            chosen = [(entries[i][0], *one) for i in with_model if (one := parsed[i])]
            for i, accepted in zip(with_model, self._accept_together(chosen), strict=True):
                found[i] = accepted
        outcome.counts.update(one for one in found if isinstance(one, str))
        return [one for one in found if isinstance(one, Accepted)]

    def _accept_together(
        self, readings: Sequence[tuple[str, Member, int, tuple[float, ...]]]
    ) -> Iterator[Accepted | str]:
        """Readings of series with a model, in one call."""
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
            _habits([member.seat for member in members]),
        )
        held = np.minimum(taken.lengths, reads)
        ends = (held * widths).cumsum()
        counts = (taken.missing, taken.lengths, held, ends, taken.filled, taken.doubted)
        columns = [column.tolist() for column in (*counts, taken.steps, taken.moves)]
        for i, (missing, length, count, end, marked, doubted, step, moves) in enumerate(zip(*columns, strict=True)):
            if missing < 0:
                yield "duplicate" if missing == DUPLICATE else "late"
                continue
            member, ts, width = members[i], times[i], widths[i]
            next_ts = ts + round(step) if step else None
            newest = taken.rows[end - count * width : end].reshape(count, width)
            seat = member.seat
            question = Question(seat, seat.shared if seat else None, newest, next_ts or ts)
            skipped = missing > 0 or length == 1
            y = values[i][0]
            yield Accepted(ids[i], member, ts, y, next_ts, question, marked, skipped, doubted, moves)

    def _accept_young(self, entry_id: str, member: Member, ts: int, values: tuple[float, ...]) -> Accepted | str:
        """A reading of a series without a model, which learns its step, and so its cohort, while it runs."""
        state, window, reads = member.state, member.state.window, member.reads
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
        question = Question(None, cohort, window.newest(held), next_ts or ts)
        skipped, filled = missing > 0 or window.length == 1, window.filled_in(held)
        told = (skipped, window.doubted, window.largest_move)
        return Accepted(entry_id, member, ts, values[0], next_ts, question, filled, *told)

    def _settle(self, accepted: Sequence[Accepted], answers: Float) -> Scores:
        """Score what stood, let every expert's record learn from it, and blend the next forecasts."""
        members = [one.member for one in accepted]
        scores = self._scores(
            accepted,
            answers,
            [member.state.address for member in members],
            [member.seat for member in members],
            [member.errors for member in members],
        )
        for i in np.flatnonzero(scores.begun):  # another model's errors are no guide to it, nor further ahead
            state = members[i].state
            state.ahead[:] = np.nan
            state.ahead_trackers = [Tracker() for _ in state.ahead_trackers]
        return scores

    def _scores(
        self,
        accepted: Sequence[Accepted],
        answers: Float,
        records: list[int],
        seats: Sequence[Seat | None],
        errors: list[int],
    ) -> Scores:
        """Score readings with records and first errors at these addresses."""
        return settle(
            np.array(records, np.int64),
            Readings(
                np.array([one.ts for one in accepted], np.int64),
                np.array([one.y for one in accepted], np.float64),
                np.array([one.skipped for one in accepted], np.int64),
                np.array([one.doubted for one in accepted], np.int64),
                np.array([one.moves for one in accepted], np.float64),
            ),
            answers,
            Champions(
                np.array([seat.version if seat else 0 for seat in seats], np.int64),
                np.array(errors, np.int64),
                np.array([seat.half_width if seat else 0.0 for seat in seats], np.float64),
                np.array([seat.trained_until if seat else 0 for seat in seats], np.int64),
            ),
            self._levels,
            self._bounds,
        )

    def _compare(
        self, some: Sequence[Accepted], tried: Sequence[int], scores: Scores, answers: Float
    ) -> Iterator[Event]:
        """Compare champions on trial with what the former ones said, `answers`; tell of those whose trial ends."""
        former = [one.member.shadow for one in some]
        records = [address_of(trial.record) if (trial := one.member.state.probation) else 0 for one in some]
        errors = [address_of(seat.errors) if seat else 0 for seat in former]
        shadows = self._scores(some, answers, records, former, errors)
        columns = (scores.error[tried], scores.begun[tried], shadows.error)
        for one, error, begun, shadow_error in zip(some, *columns, strict=True):
            trial, seat = one.member.state.probation, one.member.seat
            if seat is None or trial is None:  # it ended with an earlier reading of the batch
                continue
            trial.heard_ts = one.ts
            # The first reading settles what the former one said; of what a model has learned from it knows the answer.
            known = begun or one.ts <= seat.trained_until or one.doubted
            event = self.trials.compare(one.member.series, trial, math.nan if known else error, shadow_error)
            if event:
                yield event
            if event and not trial.condemned:
                self.acquit(one.member.series)

    def _publish(self, accepted: Sequence[Accepted], scores: Scores, into: Forecasts) -> None:
        """Write the forecasts field by field."""
        into.id = [one.id for one in accepted]
        into.series = [one.member.series for one in accepted]
        into.ts = [one.next_ts for one in accepted]
        into.yhat = scores.yhat.tolist()
        into.yhat_lower, into.yhat_upper = self._interval(scores, 0)
        into.origin = [one.ts for one in accepted]
        into.model = [one.member.seat.version if one.member.seat else None for one in accepted]
        into.kind = [EXPERTS[leader] for leader in scores.leader.tolist()]
        into.y = [one.y for one in accepted]
        into.error, into.anomaly_score = _known(scores.error), _known(scores.score)
        into.filled = [one.filled for one in accepted]
        for i, level in enumerate(self.settings.more_levels, 1):
            lower, upper = self._interval(scores, i)
            into.more |= {f"yhat_lower_{level * 100:g}": lower, f"yhat_upper_{level * 100:g}": upper}

    def _interval(self, scores: Scores, level: int) -> tuple[list[float | None], list[float | None]]:
        """The ends of the intervals of one level; None where no error is known."""
        half = scores.half_widths[:, level]
        low, high = (np.clip(scores.yhat + side * half, *self._bounds) for side in (-1, 1))
        return _known(low), _known(high)

    def _features(self, series: str) -> tuple[str, ...]:
        seat = self.engine.seat(series)
        return seat.features if seat else (self.settings.target,)

    def _meet(self, series: str) -> SeriesState:
        if len(self.states) >= self.settings.max_series:
            raise BadReading(
                "series_cap",
                f"series {parsing.quoted(series.encode())} would be one more than the {self.settings.max_series} that "
                "a partition remembers: raise series.max_series, or use more partitions",
            )
        features = self._features(series)
        self.states[series] = SeriesState(features, Window(self.settings.rows_kept, len(features)))
        self._met.append(series)
        self._fit(series)
        return self.states[series]

    def _fit(self, series: str) -> None:
        """Give a series' window the shape that its champion, if it has one, needs."""
        state, seat = self.states.get(series), self.engine.seat(series)
        if state is None:
            return
        state.expect_levels(len(self._levels))
        shadow = self.trials.shadow(series, state, seat)
        if seat:
            rows = max(self.settings.rows_kept, self.rows_read(series))
            state.wear(seat.features, rows, seat.step_ms, gridded=seat.gridded)
        else:
            target = self.settings.target
            features = state.features if state.features[0] == target else (target,)
            state.wear(features, state.window.capacity, None, gridded=True)
        field = state.features[0].encode() if len(state.features) == 1 else None
        reads = self.rows_read(series) if seat else self.engine.rows_of(None, None)
        errors = address_of(seat.errors) if seat else 0
        self._members[series.encode()] = Member(series, field, state, seat, reads, errors, shadow)


def _put_in_order(parsed: list[Parsed | None], without_ts: set[int]) -> None:
    """Make each reading without a `ts` later than its series' newest, by a millisecond where its own time is not.

    Its entry id is higher, so it is a new reading: two may arrive in one millisecond, and a clock may be set back.
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


def _habits(seats: Sequence[Seat | None]) -> tuple[Float, Float, Float]:
    """What the models' histories tell of gross errors, as `take` reads it."""
    known = [seat.known if seat else NO_LIMITS for seat in seats]
    usual = np.array([seat.largest_move if seat else 0.0 for seat in seats])
    return usual, np.array([low for low, _ in known]), np.array([high for _, high in known])


def _of_the_former(accepted: Accepted) -> Question:
    """What the former champion is asked beside the one on trial."""
    shadow, question = accepted.member.shadow, accepted.question
    return Question(shadow, shadow.shared if shadow else None, question.rows, question.next_ts)


def _meetings(series: Sequence[str]) -> list[Event]:
    """An event for each series that was met; of many at once, one for all."""
    if len(series) <= MET_ONE_BY_ONE:
        return [Event("met", "its first reading", name) for name in series]
    return [Event("met", f"the first readings of {len(series)} series: {', '.join(series[:MET_ONE_BY_ONE])}, …")]


def _drifts(accepted: Sequence[Accepted], scores: Scores) -> list[Drift]:
    """The changes that a batch's readings told of."""
    found = []
    for i in np.flatnonzero(scores.drift != NOTHING).tolist():
        one, kind, statistic = accepted[i], KINDS[scores.drift[i]], float(scores.statistic[i])
        found.append(Drift(one.member.series, one.id, one.ts, kind, statistic))
    return found


def _known(numbers: Float) -> list[float | None]:
    """The numbers, None for NaN."""
    return [None if number != number else number for number in numbers.tolist()]
