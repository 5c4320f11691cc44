"""The forecaster of a partition: it turns a batch of readings into forecasts, without Redis, clock or files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.experts import SEASONAL_CHANGE
from tidecast.models.known.values import LATEST, KnownValues
from tidecast.models.model import Model
from tidecast.online.batch import Batch, BatchResult, Entry
from tidecast.online.engine import Engine
from tidecast.online.kernels.scoring import BatchScores
from tidecast.online.known_rows import KnownAhead
from tidecast.online.own_experts import OwnRunner
from tidecast.online.raw_entries import RawEntries
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.series_entry import SeriesEntry
from tidecast.online.series.state import SeriesState
from tidecast.online.series.state_encoder import changes_of
from tidecast.online.shadow_test import ShadowTests
from tidecast.online.stages.entry_parser import EntryParser
from tidecast.online.stages.events import events_of, silence_of, silent_series
from tidecast.online.stages.horizons import Horizons
from tidecast.online.stages.own import forecast_own
from tidecast.online.stages.placing import place
from tidecast.online.stages.publishing import drifts_of, publish
from tidecast.online.stages.scoring import Scorer
from tidecast.online.stages.untrained import forecast_untrained
from tidecast.settings import AnomalySettings, SeriesSettings
from tidecast.wire import Event, Forecasts


class Forecaster:
    """All series of one partition: their states and their champions.

    Args:
        settings: the settings of the series.
        engine: the models, shared by all partitions of a worker.
        partition: the number of this partition; readings of another partition's series are dead letters.
        partitions: the number of partitions.
        probation: over how many readings a new champion is compared with the former one; 0 turns that off.
        anomalies: the rules of anomalies.
        own: calls experts of the users' own; None: they have no forecasts.

    Attributes:
        engine: the models.
        shadow_tests: the shadow tests of new champions.
        known: the values known ahead, with the times of their entries as the moments since which they are known.
    """

    def __init__(
        self,
        settings: SeriesSettings,
        engine: Engine | None = None,
        partition: int = 0,
        partitions: int = 1,
        probation: int = 0,
        anomalies: AnomalySettings | None = None,
        own: OwnRunner | None = None,
    ) -> None:
        self.engine = Engine() if engine is None else engine  # an engine without models is falsy
        self.shadow_tests = ShadowTests(self.engine, probation)
        self.known = KnownValues()
        self._bounds = settings.bounds
        self._settings = settings
        self._own = own
        self._series = PartitionSeries(settings, self.engine, self.shadow_tests, anomalies or AnomalySettings())
        self._parser = EntryParser(settings, self._series, partition, partitions)
        self._scorer = Scorer((settings.level, *settings.more_levels), self._bounds)
        self._horizons = Horizons(settings, self._bounds)
        self._shape = 1 + len(settings.more_levels), settings.horizon - 1

    @property
    def states(self) -> dict[str, SeriesState]:
        """Return the states by series."""
        return self._series.states

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Replace all states by the committed ones.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self._series.restore(states)

    def remember(self, states: Mapping[str, bytes]) -> None:
        """Add the committed states of some series, all fields of each.

        Raises:
            StateError: a state was written by another version of the worker.
        """
        self._series.remember(states)

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
        self._series.refresh(series)

    def take_model(self, series: str) -> None:
        """Let the model of a series that the engine has now forecast from the next batch on."""
        self._series.refresh(series)

    def remove_model(self, series: str) -> None:
        """Forecast the series without a model from the next batch on."""
        self.engine.drop(series)
        self._series.refresh(series)

    def delete_series(self, series: str) -> None:
        """Forget a series: its state and its model."""
        self._series.delete(series)

    def rename_series(self, old: str, new: str) -> None:
        """Continue the state and the model of a series under a new name, which replaces a series of that name."""
        self._series.rename(old, new)

    def hand_over_series(self, old: str, new: str) -> None:
        """Forget a series that another partition continues under a new name."""
        self._series.hand_over(old, new)

    def set_shared_network(self, cohort: str, model: Model) -> None:
        """Let a shared network forecast all series of a cohort from the next batch on."""
        self.engine.put_shared(cohort, model)
        self.reshape_windows()

    def reshape_windows(self) -> None:
        """Change every series' window to the shape that the present models need."""
        self._series.refresh_all()

    def attach_shadow(self, series: str, version: int, model: Model) -> None:
        """Run the former champion as a shadow of the new one from the next batch on."""
        self.shadow_tests.attach(series, self.states.get(series), version, model)
        self._series.refresh(series)

    def end_shadow_test(self, series: str) -> None:
        """End the shadow test of a series' champion."""
        if state := self.states.get(series):
            state.probation = None
        self._series.refresh(series)

    def rows_read(self, series: str) -> int:
        """Return how many rows the experts of a series read at most; without a model, all rows of its window."""
        return self._series.rows_read(series)

    def handle(self, entries: Sequence[Entry], now_ms: int) -> BatchResult:
        """Forecast a batch of entries in their order.

        Windows come first, then all experts in one call, then the scores. Only the scores depend on the forecasts.
        """
        raw = entries if isinstance(entries, RawEntries) else RawEntries.of(entries)
        result = BatchResult(raw.ids[-1], Forecasts(self._settings.level))
        readings = self._parser.parse(raw, now_ms, result)
        batch = place(readings, self._series, self.engine, self._settings.max_gap, result)
        batch = self._with_known(batch)
        tested = np.flatnonzero(batch.series["tested"])
        forecasts = self.engine.predict(batch.requests)
        learned = self._horizons.room(len(batch))
        forecast_untrained(batch, self.engine, forecasts, learned)
        if self._own:
            result.events += forecast_own(batch, self._series, self._own, forecasts)
        scores = self._scorer.score(batch, self._series, forecasts)
        if len(tested):
            result.events += self._compare(batch, tested, scores, forecasts[tested, SEASONAL_CHANGE:])
        publish(batch, self._series, scores, self._settings.more_levels, self._bounds, result.forecasts)
        result.forecasts.more |= self._horizons.forecast(self.engine, batch, scores, learned)
        result.counts["forecast"] = len(batch)
        result.intervals["inside"] = int((scores.score <= 1).sum())
        result.intervals["outside"] = int((scores.score > 1).sum())
        result.drifts = drifts_of(batch, self._series, scores)
        result.events += [*self._series.creations(), *events_of(batch, self._series, scores)]
        self._add_silences(int(raw.places.ms[-1]), batch.readings.number, result)
        return result

    def _with_known(self, batch: Batch) -> Batch:
        """Let the models of a batch look up the values known ahead that arrived no later than each reading."""
        if not self.engine.reads_known:
            return batch
        known = KnownAhead(self.known, self._series.names_of(batch.readings.number), batch.readings.arrived)
        return replace(batch, requests=replace(batch.requests, known=known))

    def without_known(self) -> int:
        """Return how many series lack the known inputs of their next forecast."""
        if not self.engine.reads_known:
            return 0
        return sum(self._lacks_known(entry) for entry in self._series.entries.values())

    def _lacks_known(self, entry: SeriesEntry) -> bool:
        lookup = entry.slot.slab.lookup_of(entry.slot.row) if entry.slot else None
        if lookup is None or not entry.state.window.length:
            return False
        inputs = lookup.inputs
        next_ts = entry.state.window.last_ts + round(inputs.step_ms)
        values = inputs.look_up(self.known, entry.series, np.array([next_ts]), LATEST)
        return bool(np.isnan(values).any())

    def silences(self, last: str, as_of_ms: int) -> BatchResult | None:
        """Return a result without readings that reports the series that have become silent; None without such series.

        Args:
            last: the id of the last entry that was handled.
            as_of_ms: epoch milliseconds; all entries that arrived up to then must have been handled.
        """
        result = BatchResult(last, Forecasts(self._settings.level))
        self._add_silences(as_of_ms, np.zeros(0, np.int64), result)
        return result if result.events else None

    def _add_silences(self, as_of_ms: int, changed: Int64, result: BatchResult) -> None:
        """Add an event for each silent series, and the new states of these series and of the changed ones."""
        silent = silent_series(self._series, as_of_ms)
        result.events += [silence_of(self._series.entry(number)) for number in silent.tolist()]
        touched = self._series.touched(changed, silent)
        result.states = changes_of(self._series, touched, self._shape)

    def _compare(self, batch: Batch, tested: Int64, scores: BatchScores, online: Float) -> list[Event]:
        """Compare champions on probation with their shadows; return an event for each test that has ended.

        Args:
            batch: the accepted readings.
            tested: `(some,)` the places of the readings whose series are on probation.
            scores: the scores of the champions.
            online: `(some, experts)`, the forecasts of the series' experts without a model, which both use.
        """
        entries = [self._series.entry(number) for number in batch.readings.number[tested].tolist()]
        rows = batch.requests.rows.chosen(tested)
        known = batch.requests.known.chosen(tested) if batch.requests.known else None
        requests = self.engine.requests(
            [entry.shadow for entry in entries], rows, batch.requests.next_ts[tested], known
        )
        forecasts = self.engine.predict(requests)
        forecasts[:, SEASONAL_CHANGE:] = online
        errors = self._scorer.score_shadows(batch, tested, entries, forecasts)
        events = self.shadow_tests.compare(batch, tested, entries, scores, errors)
        for series in {event.series for event in events if event.series}:
            self._series.refresh(series)
        return events
