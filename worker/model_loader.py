"""Load new champions, cohort networks and shadows from the store, without delaying forecasts."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import structlog

from tidecast.errors import StoreError, TidecastError
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.online.engine import Engine
from tidecast.online.forecaster import Forecaster
from tidecast.start import LastingObjects
from tidecast.wire import partition_of
from worker.metrics import Health

CHECK_EVERY_S = 0.5  # how often the store is checked for new champions
LOADING_SHARE = 0.05  # share of the time for loading new champions while readings flow
CREDIT_S = 0.0005  # most loading time in one round while readings flow: one or two models
IDLE_LOADING_S = 0.005  # loading time in one round while partitions are held but no readings flow
TOGETHER = 32  # most champions loaded together: their arrays fit a processor's cache
FREE_LOADING_S = 0.5  # the same while no partition is held: no reading waits, but a signal may
AGAIN_S = (60.0, 3600.0)  # the first and the longest pause before models that were refused are tried again

log = structlog.get_logger("tidecast.worker")


class ModelLoader:
    """Keeps the models of a worker up to date with the store.

    Args:
        store: the model store with the champions.
        engine: receives the models.
        health: the metrics.

    Attributes:
        forecasters: one for each partition, in their order.
    """

    def __init__(self, store: ModelStore, engine: Engine, health: Health) -> None:
        self.forecasters: Sequence[Forecaster] = ()
        self._store = store
        self._engine = engine
        self._health = health
        self._store_position = self._shared_position = 0
        self._checked_at = -math.inf  # when the store was last checked, in epoch seconds
        self._moved: dict[str, None] = {}  # series whose champions are still to be loaded, the latest change last
        self._refused: dict[str, None] = {}  # series whose champions could not be loaded
        self._refused_cohorts: dict[str, None] = {}  # cohorts whose networks could not be loaded
        self._cohorts_again: dict[str, None] = {}  # those of them to be tried again in the next check
        self._again_s = AGAIN_S[0]  # the pause before they are tried again
        self._again_at = -math.inf  # when, in epoch seconds
        self._credit_s = 0.0  # remaining loading time; below 0 after a model that took longer
        self._credit_at = time.monotonic()  # when the credit was last increased
        self._model_s = CREDIT_S  # how long a champion took when some were loaded last
        self._loaded = 0  # champions loaded since the last log line about them
        self._stuck: dict[str, int] = {}  # series and versions that could not be rolled back

    @property
    def pending(self) -> bool:
        """Whether champions wait to be loaded."""
        return bool(self._moved)

    def update(self, now: float, *, held: bool, flowing: bool) -> None:
        """Check the store for new champions every `CHECK_EVERY_S`, and load them for a while.

        Args:
            now: epoch seconds.
            held: whether a partition is held.
            flowing: whether readings are arriving.

        Raises:
            StoreError: the store cannot be read.
        """
        cohorts = 0
        self._load_shadows(held, flowing)
        if not 0 <= now - self._checked_at < CHECK_EVERY_S:  # below 0 the clock was set back
            self._checked_at = now
            self._credit_s = CREDIT_S  # a new change does not wait because of earlier loading
            cohorts = self._check_store()
            self._try_again(now)
            self._roll_back()
        if self._moved or cohorts:
            self._loaded += self._load_champions(held, flowing)
            if not self._moved:  # logging and listing all models in each round would take longer than the loading
                self._health.serving(self._engine.created_ms)
                log.info("champions loaded", count=self._loaded, shared=cohorts)
                self._loaded = 0

    def _check_store(self) -> int:
        """Load changed cohort networks, and note changed champions; return the number of these cohorts."""
        try:
            # The shared networks first: a champion reads as many rows as its cohort's network needs.
            cohorts = self._load_shared_networks()
            former = self._store_position
            self._store_position, moved = self._store.moves_since(former)
        except OSError as exc:
            remedy = "let this user read it, and see that its disk is mounted"
            raise StoreError(f"the store {self._store.root} cannot be read ({exc.strerror or exc}): {remedy}") from exc
        if self._store_position < former:  # its log never becomes shorter
            remedy = "see that its disk is mounted; the models in memory are used until others are published"
            log.warning("the store is empty or another one", store=str(self._store.root), remedy=remedy)
        self._moved |= dict.fromkeys(moved)
        return cohorts

    def _try_again(self, now: float) -> None:
        """Let models that could not be loaded be tried again, ever more rarely: the store may be whole again."""
        if not self._refused and not self._refused_cohorts:
            if not self._moved:
                self._again_s = AGAIN_S[0]
            self._again_at = now + self._again_s
        elif not 0 < self._again_at - now <= self._again_s:  # above it the clock was set back
            self._moved = self._refused | self._moved
            self._cohorts_again = self._refused_cohorts
            self._refused = {}
            self._refused_cohorts = {}
            self._again_s = min(AGAIN_S[1], 2 * self._again_s)
            self._again_at = now + self._again_s

    def _load_shared_networks(self) -> int:
        """Load the cohort networks that changed or could not be loaded before; return the number of these cohorts."""
        self._shared_position, moved = self._store.shared.moves_since(self._shared_position)
        cohorts = dict.fromkeys([*self._cohorts_again, *moved])
        self._cohorts_again = {}
        for cohort in cohorts:
            self._refused_cohorts.pop(cohort, None)
            if loaded := self._load(self._store.shared, cohort):
                self._engine.put_shared(cohort, loaded[1])
            else:
                self._refused_cohorts[cohort] = None
        if cohorts:
            for forecaster in self.forecasters:
                forecaster.reshape_windows()
        return len(cohorts)

    def _load_champions(self, held: bool, flowing: bool) -> int:
        """Load new champions for as long as this round allows; return how many were loaded."""
        waiting = len(self._moved)
        self._engine.expect(max(waiting, len(self._engine)))
        # Not in threads: only hashing and reading the file run without Python's lock. At the start, two threads took
        # longer than one. While readings flowed, one thread doubled the delay of every forecast.
        if waiting:
            self._load_for_a_while(self._load_newest, held, flowing)
        return waiting - len(self._moved)

    def _load_shadows(self, held: bool, flowing: bool) -> None:
        """Load former champions to run beside their successors on trial, for as long as this round allows."""
        if any(forecaster.shadow_tests.shadows_to_load for forecaster in self.forecasters):
            self._load_for_a_while(self._load_next_shadow, held, flowing)

    def _load_next_shadow(self, _allowed_s: float) -> bool:
        """Load the former champion of one series on trial; return whether there are more."""
        waiting = [(forecaster, forecaster.shadow_tests.shadows_to_load) for forecaster in self.forecasters]
        forecaster, former = next((forecaster, versions) for forecaster, versions in waiting if versions)
        series, version = next(iter(former.items()))
        if loaded := self._load(self._store, series, version):
            forecaster.attach_shadow(series, *loaded)
        else:
            forecaster.end_shadow_test(series)
        return any(versions for _, versions in waiting)

    def _load_newest(self, allowed_s: float) -> bool:
        """Load the champions that changed last, as many together as may fit the time; return whether there are more.

        A champion promoted by hand does not wait for a thousand that changed before it.
        """
        began = time.monotonic()
        count = max(1, min(TOGETHER, len(self._moved), int(allowed_s / self._model_s)))
        waiting = dict.fromkeys(self._moved.popitem()[0] for _ in range(count))
        for series in waiting:
            self._refused.pop(series, None)
        if count > 1:
            self._load_together(waiting)
        while waiting:  # those with a fault, which is reported, or of a rare kind
            series = waiting.popitem()[0]  # removed first: an unforeseen error must not repeat endlessly
            try:
                self._load_champion(series)
            except Exception:
                self._moved |= waiting
                raise
        self._model_s = (time.monotonic() - began) / count
        return bool(self._moved)

    def _load_together(self, waiting: dict[str, None]) -> None:
        """Load the champions of these series as far as they can be loaded together, and remove them from `waiting`."""
        try:
            for champions, models in self._store.load_together(waiting):
                self._engine.put_all(champions, models)
                for champion in champions:
                    self._forecaster_of(champion.series).take_model(champion.series)
                    del waiting[champion.series]
        except Exception as exc:  # unforeseen: one by one, the error costs only the champion that has it
            log.warning("champions are loaded one by one", error=repr(exc), series=len(waiting))

    def _load_for_a_while(self, load_next: Callable[[float], bool], held: bool, flowing: bool) -> None:
        """Call `load_next` with the time that is left, while it returns that there are more models and there is time.

        While readings flow, loading gets a fixed share of the time. A model that takes longer delays the next one.
        Loading at least one model in each round took a fifth of the time at 5,000 readings a second. The worker could
        not spare it there, and the delay of every forecast was four times as long.
        """
        began = time.monotonic()
        self._credit_s = min(CREDIT_S, self._credit_s + LOADING_SHARE * (began - self._credit_at))
        self._credit_at = began
        allowed_s = self._credit_s if flowing else IDLE_LOADING_S if held else FREE_LOADING_S
        if allowed_s <= 0:
            return
        with nullcontext() if held else LastingObjects():
            left_s = allowed_s
            while left_s > 0 and load_next(left_s):
                left_s = allowed_s - (time.monotonic() - began)
        if flowing:
            self._credit_s -= time.monotonic() - began

    def _roll_back(self) -> None:
        """Switch back to the former champion of each series whose new champion performs worse."""
        for forecaster in self.forecasters:
            to_roll_back = forecaster.shadow_tests.to_roll_back
            for series, (version, former) in list(to_roll_back.items()):
                try:
                    if self._store.champion(series) == version:
                        self._store.promote(series, former)
                        log.warning("champion rolled back", series=series, version=version, former=former)
                    del to_roll_back[series]
                except (TidecastError, OSError) as exc:  # tried again in the next round, logged once
                    if self._stuck.get(series) != version:
                        remedy = "let this worker write the store, or use `tidecast models promote`"
                        log.error("champion not rolled back", series=series, error=str(exc), remedy=remedy)
                    self._stuck[series] = version

    def _load_champion(self, series: str) -> None:
        """Load a series' champion and forecast with it from now on; without one, forecast without a model."""
        forecaster = self._forecaster_of(series)
        try:
            pointer = self._store.pointer(series)
            if pointer is None:  # the series was deleted or renamed
                forecaster.remove_model(series)
                return
            version, model = self._store.load(series, pointer.version)
        except (TidecastError, OSError) as exc:
            self._refuse(series, exc)
            self._refused[series] = None
            return
        forecaster.set_model(series, version, model, published=pointer.published)

    def _forecaster_of(self, series: str) -> Forecaster:
        return self.forecasters[partition_of(series, len(self.forecasters))]

    def _load(self, store: ModelStore, name: str, version: int | None = None) -> tuple[int, Model] | None:
        try:
            return store.load(name, version)
        except (TidecastError, OSError) as exc:
            self._refuse(name, exc)
            return None

    def _refuse(self, name: str, exc: Exception) -> None:
        """Log that a model cannot be loaded; the other series are still forecast."""
        log.error("model not loaded", name=name, error=str(exc))
        self._health.failed("model")
