"""The driver of a run: submits shards, retries and halves those that fail, and publishes the results.

Only the driver publishes versions and moves champions. Its folder is the fence, see `driver_folder.py`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from tidecast.models.store import ModelStore
from trainer.runs.driver_folder import DriverFolder
from trainer.runs.engine import Done, TrainingEngine
from trainer.runs.results import ANY, SeriesResult, verdict_from
from trainer.runs.shard import Shard
from trainer.verdict import Verdict

OnVerdicts = Callable[[Sequence[Verdict]], None]

RETRIES = 2  # further attempts with a shard, before it is halved

_log = structlog.get_logger("tidecast.train")


class Driver:
    """Publishes the results of a run's shards, each once.

    Args:
        folder: its own folder.
        store: of the models.
        engine: carries out the shards.
        created_ms: the creation time of the versions; a series that was deleted or renamed since gets no version.
        names: returns the names of a shard's series.
        on_verdicts: called with the verdicts of each shard.
    """

    def __init__(
        self,
        folder: DriverFolder,
        store: ModelStore,
        engine: TrainingEngine,
        created_ms: int,
        names: Callable[[Shard], Sequence[str]],
        on_verdicts: OnVerdicts,
    ) -> None:
        self._folder = folder
        self._store = store
        self._engine = engine
        self._created_ms = created_ms
        self._names = names
        self._on_verdicts = on_verdicts
        self._settled: set[str] = set()
        self._halved: set[str] = set()
        for line in folder.former:
            self._recall(line)

    def run(
        self,
        shards: Iterable[Shard],
        results: Callable[[str], list[SeriesResult] | None] = lambda _: None,
        until: float | None = None,
    ) -> None:
        """Carry out shards until all are settled.

        Args:
            shards: of the plan.
            results: returns the results that a shard's task has left for a former driver.
            until: the time of the monotonic clock at which the rest is cancelled; None: never.

        Raises:
            RunTakenOver: another process continues the run.
            StoreError: the store cannot be written.
        """
        if until is not None and time.monotonic() >= until:
            return
        for shard in self._open(shards):
            left = results(shard.id)
            if left is None:
                self._engine.submit(shard)
            else:
                self._settle(shard, left)
        attempts: Counter[str] = Counter()
        with self._folder.fenced():  # a task of ours fails if another process has finished the run
            for done in self._engine.completed():
                self._end(done, attempts)
                if until is not None and time.monotonic() >= until:
                    self._engine.cancel()

    def _open(self, shards: Iterable[Shard]) -> Iterable[Shard]:
        """Yield the shards, or the halves of those that were halved, that are not settled."""
        for shard in shards:
            if shard.id in self._halved:
                yield from self._open(shard.halves())
            elif shard.id not in self._settled:
                yield shard

    def _end(self, done: Done, attempts: Counter[str]) -> None:
        shard = done.shard
        if shard.id in self._settled or shard.id in self._halved:
            return  # a task that ran twice
        if done.results is not None:
            self._settle(shard, done.results)
            return
        attempts[shard.id] += 1
        _log.warning("task failed", shard=shard.id, series=len(shard), tries=attempts[shard.id], error=done.failure)
        if attempts[shard.id] <= RETRIES:
            self._engine.submit(shard)
        elif len(shard) > 1 and not shard.cohort:
            self._folder.record({"halved": shard.id})
            self._halved.add(shard.id)
            for half in shard.halves():
                self._engine.submit(half)
        else:
            self._give_up(shard, done.failure)

    def _give_up(self, shard: Shard, failure: str) -> None:
        reason = f"its training failed {RETRIES + 1} times; the last error: {failure}"
        names = [] if shard.cohort else self._names(shard)
        self._settle(shard, [SeriesResult(Verdict(name, "refused", reason)) for name in names])

    def _settle(self, shard: Shard, results: Sequence[SeriesResult]) -> None:
        """Publish the results of a shard, and record their verdicts."""
        store = self._store.shared if shard.cohort else self._store
        ended = {ending.series for ending in store.endings() if ending.at_ms >= self._created_ms}
        verdicts = [self._published(result, store, ended) for result in results]
        of_series = [] if shard.cohort else verdicts
        self._folder.record({"settled": shard.id, "verdicts": [verdict.as_dict() for verdict in of_series]})
        self._settled.add(shard.id)
        self._on_verdicts(of_series)

    def _published(self, result: SeriesResult, store: ModelStore, ended: set[str]) -> Verdict:
        verdict = result.verdict
        if result.digest is None:
            return verdict
        if verdict.series in ended:
            return Verdict(verdict.series, "refused", "the series was deleted or renamed during the training")
        if champion := self._overtaken_by(result, store):
            reason = f"not published, version {champion} became champion during the training: train again"
            return Verdict(verdict.series, "kept the champion", reason, champion, verdict.evidence)
        return replace(verdict, version=self._folder.publish(verdict.series, result, store))

    def _overtaken_by(self, result: SeriesResult, store: ModelStore) -> int | None:
        """Return the champion if it is not the one that a better version was compared with."""
        if not result.promote or result.champion_was == ANY or result.digest is None:
            return None
        champion = store.champion(result.verdict.series)
        if champion == result.champion_was:
            return None
        mine = store.version_with(result.verdict.series, result.digest) if self._folder.continues else None
        return champion if champion != mine else None  # a former driver may have published it

    def _recall(self, line: dict[str, Any]) -> None:
        """Take over a line from the journal of a former driver."""
        if "halved" in line:
            self._halved.add(line["halved"])
        elif line["settled"] not in self._settled:
            self._settled.add(line["settled"])
            self._on_verdicts([verdict_from(each) for each in line["verdicts"]])
