"""A run on the workers of a scheduler of Dask, which another process can continue."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Self

from tidecast.files.history import History
from tidecast.models.cohorts import Cohort
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from trainer.candidate import Screened
from trainer.fingerprint import run_digest
from trainer.runs.dask_engine import DaskEngine
from trainer.runs.driver_folder import DriverFolder
from trainer.runs.folder import RUNS, RunFolder
from trainer.runs.job import Job
from trainer.runs.parts import encoded_part
from trainer.runs.plan import Plan, plan_of
from trainer.runs.results import SeriesResult

ABANDONED_S = 7 * 86_400.0  # a run that nobody has continued for so long is removed


class RemoteRun:
    """A run that trains on the workers of a scheduler. An interrupted one is continued by the same call.

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
        self._given = {history.series: history for history in histories}
        self._folder = RunFolder(store.root, _run_id(histories, job, force=force, train_cohorts=train_cohorts))
        with store.writing():
            _remove_abandoned(store)
            self._folder.create()
            if (plan := self._folder.read("plan")) is None:
                self._folder.write("job", job.as_dict())
                self.plan = plan_of(histories, job, store, self._keep_part, force=force, train_cohorts=train_cohorts)
                self._folder.write("plan", self.plan.as_dict())
            else:
                self.plan = Plan.from_dict(plan)
        self.created_ms: int = self._folder.read("job")["created_ms"]
        if not self.plan.series:
            self._remove()

    def __enter__(self) -> Self:
        with self._store.writing():
            self.driver_folder = DriverFolder(self._folder)
        self.engine = DaskEngine(self._scheduler, self._store.root, self._folder.run, self.driver_folder.token)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self.engine.close()
        if failure is None:
            self._remove()

    def results(self, shard: str) -> list[SeriesResult] | None:
        """Return the results that the task of a shard has left for a former driver."""
        return self._folder.results(shard) if self.driver_folder.continues else None

    def use_networks(self, networks: Mapping[Cohort, Model]) -> None:
        """Let the series be trained with these networks of the cohorts; a continued run keeps the former ones."""
        if self._folder.read("networks") is None:
            versions = {cohort.name: self._store.shared.champion(cohort.name) for cohort in networks}
            with self._store.writing():
                self._folder.write("networks", versions)

    def _keep_part(self, members: Sequence[Screened]) -> str:
        return self._folder.keep_part(encoded_part([self._given[member.history.series] for member in members]))

    def _remove(self) -> None:
        """Remove the folder of the run at once, so that no other process takes an incomplete one for a run."""
        removed = self._folder.path.with_name(f"removed-{os.urandom(8).hex()}")
        self._folder.path.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def _run_id(histories: Sequence[History], job: Job, *, force: bool, train_cohorts: bool) -> str:
    """Return an id by which the same call finds its run again."""
    fields = job.as_dict()
    del fields["created_ms"]
    digest = hashlib.sha256(json.dumps([fields, force, train_cohorts], sort_keys=True).encode())
    for history in histories:
        mine = run_digest(history, job.spec, job.settings, job.season)
        digest.update(json.dumps([history.series, history.features, mine]).encode())
    return digest.hexdigest()[:16]


def _remove_abandoned(store: ModelStore) -> None:
    """Remove runs that nobody has continued for a week, and what a removal has left."""
    now = time.time()
    for folder in (store.root / RUNS).glob("*/"):
        newest = max((file.stat().st_mtime for file in folder.glob("**/*")), default=now)
        if folder.name.startswith("removed-") or now - newest > ABANDONED_S:
            shutil.rmtree(folder, ignore_errors=True)
