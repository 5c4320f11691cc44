"""A run in this process."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Self

from tidecast.files.history import History
from tidecast.models.cohorts import Cohort
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from trainer.candidate import Screened
from trainer.fit.own_networks import Fit
from trainer.runs.driver import OnVerdicts
from trainer.runs.driver_folder import DriverFolder
from trainer.runs.engine import LocalEngine
from trainer.runs.folder import LOCAL, RunFolder, remove_abandoned
from trainer.runs.job import Job
from trainer.runs.plan import plan_of
from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard
from trainer.runs.tasks import OnEpoch, Workplace, train_cohort, train_series


class LocalRun:
    """A run that trains in this process. Its folder exists only within the block.

    Args:
        histories: of the series.
        job: of the run.
        store: of the models.
        force: train series even if they were trained on the same readings.
        train_cohorts: whether to train the cohorts' networks.
        fit: trains the prepared series of a shard.
        on_epoch: called after each epoch.
    """

    def __init__(
        self,
        histories: Sequence[History],
        job: Job,
        store: ModelStore,
        *,
        force: bool,
        train_cohorts: bool,
        fit: Callable[..., list[Fit]],
        on_epoch: OnEpoch,
    ) -> None:
        self._parts: list[Sequence[Screened]] = []
        self._store = store
        self._networks: Mapping[Cohort, Model] = {}
        self._folder = RunFolder(store.root, f"{LOCAL}{os.urandom(8).hex()}")
        self._place = Workplace(job, store, self._keep, fit, on_epoch)
        self.created_ms = job.created_ms
        self.plan = plan_of(histories, job, store, self._keep_part, force=force, train_cohorts=train_cohorts)
        self.engine = LocalEngine(self._train)

    def __enter__(self) -> Self:
        with self._store.writing(), ExitStack() as end:
            remove_abandoned(self._store.root)
            end.callback(self._remove)
            self._folder.create()
            end.enter_context(self._folder.held())
            self.driver_folder = DriverFolder(self._folder)
            self._end = end.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def results(self, shard: str) -> None:
        """Return None: no other process has begun this run."""

    def observed(self, on_verdicts: OnVerdicts) -> OnVerdicts:
        """Return the function unchanged: nobody follows the progress from outside."""
        return on_verdicts

    def use_networks(self, networks: Mapping[Cohort, Model]) -> None:
        """Let the series be trained with these networks of the cohorts."""
        self._networks = networks

    def _remove(self) -> None:
        shutil.rmtree(self._folder.path, ignore_errors=True)
        with suppress(OSError):
            self._folder.path.parent.rmdir()

    def _keep_part(self, members: Sequence[Screened]) -> str:
        self._parts.append(members)
        return str(len(self._parts) - 1)

    def _keep(self, content: bytes) -> str:
        with self._store.writing():
            return self._folder.keep(content)

    def _train(self, shard: Shard) -> list[SeriesResult]:
        members = self._parts[int(shard.part)][shard.start : shard.stop]
        if shard.cohort:
            return train_cohort(shard.cohort, members, self._store.cohort_network(shard.cohort.name), self._place)
        return train_series(members, self._networks, self._place)
