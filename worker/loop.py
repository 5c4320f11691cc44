"""The worker: its fair share of the partitions, served one after the other, again and again."""

import math
import random
import time
from collections.abc import Callable, Sequence

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.errors import Conflict, Fenced, TidecastError, Unavailable
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings, worker_name, worker_threads
from tidecast.wire import partition_of
from worker.acl import explain
from worker.membership import EVERY_S, Roster
from worker.metrics import Health
from worker.partition.consumer import Lane
from worker.partition.lease import Partition
from worker.partition.poison import PauseNeeded
from worker.partition.stream import Stream
from worker.repeats import Repeats
from worker.stop import Stop

STALE = ("READONLY", "MASTERDOWN")  # after a failover an old connection leads to what is now a replica
BACKOFF_S = (0.05, 5.0)  # the first and the longest pause after a failure
MODELS_EVERY_S = 0.5  # how often the store is asked whether a champion moved
LOADING_SHARE = 0.05  # of the time: what champions that moved are loaded in while readings flow
CREDIT_S = 0.0005  # of that at most at once: one model, or two
QUIET_S = 0.02  # without a reading: none flows any more
IDLE_LOADING_S = 0.005  # at once, while partitions are held but no readings flow
FREE_LOADING_S = 0.5  # at once, while none is held and no reading waits, but a signal may
IDLE_S = 0.01  # between two rounds over several partitions that all had nothing to read

log = structlog.get_logger("tidecast.worker")


class Worker:
    """The readings of one or many partitions, answered for as long as the program runs.

    Args:
        settings: how to read, commit and hold leases.
        streams: one for each partition, in their order.
        store: where the champions are.
        health: what is told to the operator.
        roster: the other workers; None where there is one partition, whose lease alone says who serves it.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        store: ModelStore,
        health: Health,
        roster: Roster | None = None,
    ) -> None:
        name, lease_s = worker_name(settings), settings.worker.lease_s
        self._settings = settings
        self._store = store
        self._health = health
        self._roster = roster
        self._engine = Engine(worker_threads(settings))
        self._lanes = [
            Lane(
                i,
                stream,
                Partition(stream, name, lease_s),
                self._forecaster(i, len(streams)),
                health,
                settings.worker,
            )
            for i, stream in enumerate(streams)
        ]
        self._first = random.randrange(len(streams))  # noqa: S311 - so that not all workers ask for the same one first
        self._store_position = self._shared_position = 0
        self._models_at = -math.inf  # when the store was last asked
        self._moved: dict[str, None] = {}  # series whose champions are to be loaded yet, the last to move last
        self._credit_s = 0.0  # for how long models may be loaded now; below 0 once one took longer
        self._credit_at = time.monotonic()  # when it was last added to
        self._answered_at = -math.inf  # when a round last had readings to answer, by the monotonic clock
        self._adopted = 0  # champions since the last word about them
        self._stuck: dict[str, int] = {}  # series and versions that could not be rolled back
        self._failures = 0  # in a row, of what all partitions share
        self._pauses = 0
        self._repeats = Repeats()
        self._share = len(streams)

    def run(self, stop: Stop, *, burst: bool = False) -> None:
        """Step until told to stop; with `burst`, until every reading of the partitions held is answered."""
        while not stop.is_set():
            answered = self._guarded_round(stop)
            if burst and answered == 0:
                break
        self.leave()

    def step(self, now: float) -> int | None:
        """One iteration over the partitions; returns how many readings were answered, None if none is held for now.

        `now` is in epoch seconds. What goes wrong in a partition is raised; `run` alone goes on.
        """
        self._notice_models(now)
        if self._loading:
            return None
        answered = _sum([lane.step(now, self._block_ms) for lane in self._due(now)])
        self._note_flow(answered)
        self._health.holding(self.held, self._series())
        return answered

    def leave(self) -> None:
        """Give every partition back, so that other workers may take them at once."""
        try:
            for lane in self._lanes:
                if lane.held:
                    lane.leave()
            if self._roster:
                self._roster.leave()
        except (RedisError, Unavailable) as exc:
            log.warning("leases not released, they will run out", error=str(exc))
        self._health.holding(0, 0)
        log.info("worker stopped")

    @property
    def held(self) -> int:
        """How many partitions this worker believes to be its own; the commits make sure."""
        return sum(lane.held for lane in self._lanes)

    def partitions_held(self) -> frozenset[int]:
        """Which they are; other threads may ask."""
        return frozenset(lane.number for lane in self._lanes if lane.held)

    @property
    def _loading(self) -> bool:
        """Whether champions must be loaded before any state is: they say which features a series has."""
        return bool(self._moved) and not self.held

    @property
    def _block_ms(self) -> int | None:
        """How long a read waits for readings; None, not at all, if there is something else to do.

        While readings flow and champions wait to be loaded, it is until it is clear that no more flow: to ask again and
        again took the processor from those who send them.
        """
        if len(self._lanes) > 1 or (self._moved and not self._flowing):
            return None
        longest = self._settings.worker.block_ms
        return min(longest, round(1000 * QUIET_S)) if self._moved else longest

    @property
    def _flowing(self) -> bool:
        """Whether readings come just now: between two of them there may well be a round without."""
        return self.held > 0 and time.monotonic() - self._answered_at < QUIET_S

    def _note_flow(self, answered: int | None) -> None:
        if answered:
            self._answered_at = time.monotonic()

    def _forecaster(self, partition: int, partitions: int) -> Forecaster:
        return Forecaster(self._settings.series, self._engine, partition, partitions, self._settings.retrain.probation)

    def _due(self, now: float) -> list[Lane]:
        """The partitions to serve or to ask for; what is beyond the fair share is given back first."""
        if self._roster is None:
            return self._lanes
        self._share = share = self._roster.share(len(self._lanes), now)
        held = [lane for lane in self._lanes if lane.held]
        for lane in held[share:]:
            lane.leave()
            log.info("partition handed over", partition=lane.number)
        due, wanted = held[:share], share - len(held)
        around = self._lanes[self._first :] + self._lanes[: self._first]
        free = [lane for lane in around if not lane.held and not 0 <= now - lane.tried_at < EVERY_S]
        return due + (free if wanted > 0 else [])

    def _guarded_round(self, stop: Stop) -> int | None:
        """Serve every partition that is due; what fails in one does not keep the others waiting."""
        now, pauses = time.time(), self._pauses
        try:
            self._notice_models(now)
            if self._loading:
                return None
            due = self._due(now)
        except Exception as exc:  # the roster's Redis is away, or the store's disk
            self._failures += 1
            delay = self._pause_s(self._failures)
            self._report(_kind(exc), exc, delay)
            stop.wait(delay)
            return None
        self._failures = 0
        answered: list[int | None] = []
        for lane in due:
            if stop.is_set():
                break
            if not lane.held and self.held >= self._share:
                continue  # enough were won on the way
            answered.append(None if time.monotonic() < lane.retry_at else self._guarded_step(lane, stop))
        self._health.holding(self.held, self._series())
        total = _sum(answered)
        self._note_flow(total)
        if total is None and self._pauses == pauses:  # nothing is ours; after a failure there was a pause already
            stop.wait(self._settings.worker.block_ms / 1000)
        elif total == 0 and len(self._lanes) > 1:
            stop.wait(IDLE_S)
        # What was put off, dropped or is still a dead worker's may have readings yet.
        return None if total == 0 and (None in answered or self.held < self._share) else total

    def _guarded_step(self, lane: Lane, stop: Stop) -> int | None:
        try:
            answered = lane.step(time.time(), self._block_ms)
        except PauseNeeded as exc:
            pause_s = self._settings.worker.lease_s / 2  # the lease outlives it
            log.warning(
                "a reading is tried once more after a pause", partition=lane.number, why=str(exc), pause_s=pause_s
            )
            self._pauses += 1
            self._put_off(lane, stop, pause_s)
            return None
        except (Fenced, Conflict) as exc:
            lane.drop(str(exc))
            self._health.failed("fenced" if isinstance(exc, Fenced) else "conflict")
            return None
        except (RedisConnectionError, RedisTimeoutError) as exc:
            # The commit may or may not have happened: it is sent again, and the script can tell.
            self._put_off(lane, stop, self._failed(lane, "redis", exc)[0])
            return None
        except Unavailable as exc:
            # Nothing has happened: what was handled is kept, and sent again once Redis is able to take it.
            if exc.code in STALE:
                lane.reconnect()
            self._put_off(lane, stop, self._failed(lane, "refused", exc)[0])
            return None
        except Exception as exc:
            # Whatever it was, memory may have moved on without a commit: start again from what Redis holds.
            delay, logged = self._failed(lane, _kind(exc), exc)
            if lane.held:
                lane.drop(str(exc), logged=logged)
            self._put_off(lane, stop, delay)
            return None
        lane.failures = 0
        return answered

    def _notice_models(self, now: float) -> None:
        """Ask the store now and then whose champion moved, and let those answer that did."""
        cohorts = 0
        self._adopt_shadows()
        if not 0 <= now - self._models_at < MODELS_EVERY_S:  # below 0 the clock was set back
            self._models_at = now
            self._credit_s = CREDIT_S  # what is noticed now is not kept waiting for what was noticed before
            # The shared networks first: a champion reads as many rows as its cohort's network asks for.
            cohorts = self._adopt_networks()
            self._store_position, moved = self._store.moves_since(self._store_position)
            self._moved |= dict.fromkeys(moved)
            self._roll_back()
        if self._moved or cohorts:
            self._adopted += self._adopt_champions()
            if not self._moved:  # a line and a walk through all of them each round would take longer than the loading
                self._health.serving(self._engine.made_ms)
                log.info("champions loaded", count=self._adopted, shared=cohorts)
                self._adopted = 0

    def _adopt_networks(self) -> int:
        """Let the cohorts' networks that moved answer; returns how many did."""
        self._shared_position, cohorts = self._store.shared.moves_since(self._shared_position)
        for cohort in cohorts:
            if found := self._load(self._store.shared, cohort):
                self._engine.put_shared(cohort, found[1])
        if cohorts:
            for lane in self._lanes:
                lane.forecaster.refit()
        return len(cohorts)

    def _adopt_champions(self) -> int:
        """Let champions that moved answer, no more in a round than there is time for; returns how many did."""
        waiting = len(self._moved)
        self._engine.expect(max(waiting, len(self._engine)))
        # Not in threads: of a model's time only the hash and the file are read without Python's lock. At the start two
        # threads took longer than one, and beside a flow one made every forecast wait twice as long.
        if waiting:
            self._load_for_a_while(self._adopt_newest)
        return waiting - len(self._moved)

    def _adopt_shadows(self) -> None:
        """Let former champions answer beside those on trial, no more in a round than there is time for."""
        if not any(lane.forecaster.trials.lacking for lane in self._lanes):
            return
        self._load_for_a_while(self._accompany_next)

    def _accompany_next(self) -> bool:
        """Load the former champion of one on trial; whether there are more."""
        lacking = [(lane.forecaster, lane.forecaster.trials.lacking) for lane in self._lanes]
        forecaster, wanted = next(one for one in lacking if one[1])
        series, version = next(iter(wanted.items()))
        if found := self._load(self._store, series, version):
            forecaster.accompany(series, *found)
        else:
            forecaster.acquit(series)
        return any(wanted for _, wanted in lacking)

    def _adopt_newest(self) -> bool:
        """Load the champion that moved last; whether there are more.

        Who moves one by hand need not wait for a thousand that were moved before.
        """
        self._adopt(self._moved.popitem()[0])  # removed first: what cannot be foreseen must not happen for ever
        return bool(self._moved)

    def _load_for_a_while(self, load_one: Callable[[], bool]) -> None:
        """Load models one after the other, while that says that there are more and there is time.

        While readings flow they get a share of the time and no more: what one takes beyond it is paid back before the
        next. One at least in each round was a fifth of the time at 5,000 readings a second, where the worker has no
        fifth to spare, and every forecast came four times as late.
        """
        began, flowing = time.monotonic(), self._flowing
        self._credit_s = min(CREDIT_S, self._credit_s + LOADING_SHARE * (began - self._credit_at))
        self._credit_at = began
        allowed_s = self._credit_s if flowing else IDLE_LOADING_S if self.held else FREE_LOADING_S
        if allowed_s <= 0:
            return
        while load_one() and time.monotonic() - began < allowed_s:
            pass
        if flowing:
            self._credit_s -= time.monotonic() - began

    def _roll_back(self) -> None:
        """Let the former champions answer again where the new ones were found worse."""
        for lane in self._lanes:
            condemned = lane.forecaster.trials.condemned
            for series, (version, former) in list(condemned.items()):
                try:
                    if self._store.champion(series) == version:
                        self._store.promote(series, former)
                        log.warning("champion rolled back", series=series, version=version, former=former)
                    del condemned[series]
                except (TidecastError, OSError) as exc:  # it is tried again, and told once
                    if self._stuck.get(series) != version:
                        remedy = "let this worker write the store, or use `tidecast models promote`"
                        log.error("champion not rolled back", series=series, error=str(exc), remedy=remedy)
                    self._stuck[series] = version

    def _adopt(self, series: str) -> None:
        """Let a series' champion answer."""
        try:
            pointer = self._store.pointer(series)
            version, model = self._store.load(series, pointer and pointer.version)
        except (TidecastError, OSError) as exc:
            self._refuse(series, exc)
            return
        forecaster = self._lanes[partition_of(series, len(self._lanes))].forecaster
        forecaster.adopt(series, version, model, published=bool(pointer and pointer.published))

    def _load(self, store: ModelStore, name: str, version: int | None = None) -> tuple[int, Model] | None:
        try:
            return store.load(name, version)
        except (TidecastError, OSError) as exc:
            self._refuse(name, exc)
            return None

    def _refuse(self, name: str, exc: Exception) -> None:
        """Go on without a model: one bad file must not take the others' forecasts."""
        log.error("model not loaded", name=name, error=str(exc))
        self._health.failed("model")

    def _series(self) -> int:
        return sum(len(lane.forecaster.states) for lane in self._lanes)

    def _failed(self, lane: Lane, kind: str, exc: Exception) -> tuple[float, bool]:
        """Count a partition's failure; returns the pause in seconds, and whether the failure was logged."""
        lane.failures += 1
        delay = self._pause_s(lane.failures)
        return delay, self._report(kind, exc, delay)

    def _put_off(self, lane: Lane, stop: Stop, delay: float) -> None:
        """Try a partition again later; meanwhile the others are served, if there are any."""
        if len(self._lanes) == 1:
            stop.wait(delay)
        else:
            lane.retry_at = time.monotonic() + delay

    def _pause_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row: longer each time, but no lease runs out of it."""
        shortest, longest = BACKOFF_S
        longest = min(longest, self._settings.worker.lease_s / 2)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - so that workers do not knock in step
        return jitter * min(longest, shortest * 2.0 ** min(failures - 1, 30))

    def _report(self, kind: str, exc: Exception, pause_s: float) -> bool:
        """Count a failure, and log it unless an equal one was logged just now; returns whether it was logged."""
        self._pauses += 1
        self._health.failed(kind)
        error = explain(exc) if isinstance(exc, RedisError) else f"{type(exc).__name__}: {exc}"
        times = self._repeats.times(f"{kind} {error}")
        if times:
            unforeseen = kind == "step" and not isinstance(exc, TidecastError)
            log.error(
                "step failed", kind=kind, error=error, pause_s=round(pause_s, 3), times=times, exc_info=unforeseen
            )
        return times > 0


def _kind(exc: Exception) -> str:
    if isinstance(exc, Unavailable):
        return "refused"
    return "redis" if isinstance(exc, RedisError) else "step"


def _sum(answered: Sequence[int | None]) -> int | None:
    """How many were answered, None if no partition was held."""
    known = [number for number in answered if number is not None]
    return sum(known) if known else None
