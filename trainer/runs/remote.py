"""A run on the workers of a scheduler of Dask, which another process can continue."""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self

from tidecast.files.history import History
from tidecast.models.bucket.objects import Bucket
from tidecast.models.cohorts import Cohort
from tidecast.models.model import Model
from tidecast.models.storage.training_runs import TrainingProgress
from tidecast.models.store import ModelStore
from trainer.candidate import Screened
from trainer.fingerprint import run_digest
from trainer.runs.dask_engine import DaskEngine
from trainer.runs.driver import OnVerdicts
from trainer.runs.driver_folder import DriverFolder
from trainer.runs.exchange import Exchange
from trainer.runs.folder import RUNS, RunFolder, remove_abandoned
from trainer.runs.job import Job
from trainer.runs.parts import encoded_part
from trainer.runs.plan import RunPlan, plan_of
from trainer.runs.results import SeriesResult
from trainer.verdict import Verdict


class RemoteRun:
    """A run that trains on the workers of a scheduler. An interrupted one is continued by the same call.

    Its folder is `runs/<id>/<token>`. The token is another one if the same call is repeated after the end of a run: a
    task of the former run that goes on late finds its folder gone.

    Args:
        histories: of the series.
        job: of the run.
        store: of the models.
        scheduler: the address.
        force: train series even if they were trained on the same readings.
        train_cohorts: whether to train the cohorts' networks.
    """

    def __init__(
        self,
        histories: Sequence[History],
        job: Job,
        store: ModelStore,
        *,
        scheduler: str,
        force: bool,
        train_cohorts: bool,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        run_id = _run_id(histories, job, force=force, train_cohorts=train_cohorts)
        self._home = store.root / RUNS / run_id
        with store.writing():
            remove_abandoned(store.root)
            if not (tokens := self._tokens()):
                self._begin(histories, job, force=force, train_cohorts=train_cohorts)
                tokens = self._tokens()
        self._folder = RunFolder(store.root, f"{run_id}/{tokens[0]}")
        self.plan = RunPlan.from_dict(self._folder.read("plan"))
        self.created_ms: int = self._folder.read("job")["created_ms"]
        self._bucket = job.settings.bucket.url
        self._exchange = Exchange(Bucket(self._bucket), self._folder) if self._bucket else None
        series = len(self.plan.verdicts) + sum(map(len, self.plan.series))
        self._progress = TrainingProgress(self.created_ms, self.created_ms, scheduler, series)
        if not self.plan.series:
            self._remove()

    def __enter__(self) -> Self:
        with self._store.writing():
            self.driver_folder = DriverFolder(self._folder)
        if self._exchange:
            self._exchange.offer(self._store)
        self.engine = DaskEngine(
            self._scheduler,
            self._store.root,
            self._folder.run,
            self.driver_folder.token,
            bucket=self._bucket,
            collect=self._exchange.collect if self._exchange else lambda _: None,
        )
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self.engine.close()
        if failure is None:
            if self._exchange:
                self._exchange.remove()
            self._progress.log(self._store.root)
            self._remove()

    def results(self, shard: str) -> list[SeriesResult] | None:
        """Return the results that the task of a shard has left for a former driver."""
        if not self.driver_folder.continues:
            return None
        return self._exchange.results(shard) if self._exchange else self._folder.results(shard)

    def observed(self, on_verdicts: OnVerdicts) -> OnVerdicts:
        """Return a function that also writes the progress for the dashboard."""
        counts = Counter(verdict.group for verdict in self.plan.verdicts)

        def observe(verdicts: Sequence[Verdict]) -> None:
            counts.update(verdict.group for verdict in verdicts)
            self._progress = replace(
                self._progress,
                changed_ms=_now_ms(),
                trained=counts["trained"],
                kept=counts["kept"],
                refused=counts["refused"],
            )
            with suppress(OSError):  # another process has finished the run
                self._progress.write(self._folder.path)
            on_verdicts(verdicts)

        observe([])
        return observe

    def use_networks(self, networks: Mapping[Cohort, Model]) -> None:
        """Let the series be trained with these networks of the cohorts; a continued run keeps the former ones."""
        if self._folder.read("networks") is None:
            versions = {cohort.name: self._store.shared.champion(cohort.name) for cohort in networks}
            with self._store.writing():
                self._folder.write("networks", versions)
        if self._exchange:
            self._exchange.offer(self._store)

    def _begin(self, histories: Sequence[History], job: Job, *, force: bool, train_cohorts: bool) -> None:
        """Make the folder of the run with its plan, and give it its name at once, unless another process is faster."""
        token = os.urandom(8).hex()
        folder = RunFolder(self._store.root, f"new-{token}/{token}")
        given = {history.series: history for history in histories}

        def keep_part(members: Sequence[Screened]) -> str:
            return folder.keep_part(encoded_part([given[member.history.series] for member in members]))

        folder.create()
        folder.write("job", job.as_dict())
        plan = plan_of(histories, job, self._store, keep_part, force=force, train_cohorts=train_cohorts)
        folder.write("plan", plan.as_dict())
        try:
            folder.path.parent.rename(self._home)
        except OSError:
            shutil.rmtree(folder.path.parent)
            if not self._tokens():
                raise

    def _tokens(self) -> list[str]:
        """Return the token of the run that this call continues, if there is one."""
        return [folder.name for folder in self._home.glob("*/")]

    def _remove(self) -> None:
        """Remove the folder of the run, its name first, so that the next call does not find an incomplete one."""
        removed = self._home.with_name(f"removed-{os.urandom(8).hex()}")
        with suppress(OSError):  # another process has finished the run
            self._folder.path.rename(removed)
            shutil.rmtree(removed)
            self._home.rmdir()
            self._home.parent.rmdir()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _run_id(histories: Sequence[History], job: Job, *, force: bool, train_cohorts: bool) -> str:
    """Return an id that is the same for the same call, so that it finds its run again."""
    fields = job.as_dict()
    del fields["created_ms"]
    digest = hashlib.sha256(json.dumps([fields, force, train_cohorts], sort_keys=True).encode())
    for history in histories:
        mine = run_digest(history, job.spec, job.settings, job.season)
        digest.update(json.dumps([history.series, history.features, mine]).encode())
    return digest.hexdigest()[:16]
