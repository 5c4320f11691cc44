"""A scheduler of Dask with workers as processes, and engines that do as they are told."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tests.harness.nursery import TRAININGS, Forked
from tests.harness.servers.ports import free_port
from trainer.runs.engine import Done
from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard

SHORT_TTL_S = 5.0  # for a run that stops workers: they count as dead soon
TTL_S = 300.0  # Dask's own: on a busy machine a worker is silent for seconds while it imports TensorFlow


class DaskCluster:
    """A forked scheduler and forked workers on this machine, killed at the end of the block.

    Args:
        folder: for the workers' directories and logs.
        workers: their number.
        ttl_s: how long a worker may be silent before it counts as dead.
    """

    def __init__(self, folder: Path, workers: int = 1, ttl_s: float = TTL_S) -> None:
        self._ttl_s = ttl_s
        self._folder = folder
        self._port = free_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.scheduler = self._start_scheduler()
        self.workers: list[Forked] = []
        self._started = 0
        for _ in range(workers):
            self.add_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            kill(process)

    def add_worker(self) -> None:
        """Start another worker."""
        self._started += 1
        local = self._folder / f"worker-{self._started}"
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(local))
        command = ("dask_worker", self.address, *options)
        program = "tests.trainer.runs.dask_worker"
        self.workers.append(Forked(program, command, self._folder, self._environment(), self._log, TRAININGS))

    def replace_workers(self, number: int) -> None:
        """Start workers for those that have ended, until there are so many."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < number:
            self.add_worker()

    def restart_scheduler(self) -> None:
        """Kill the scheduler and start another at the same address; the workers of the former end by themselves."""
        kill(self.scheduler)
        self.scheduler = self._start_scheduler()

    def _start_scheduler(self) -> Forked:
        options = ("--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard")
        program = "tests.trainer.runs.dask_scheduler"
        command = ("dask_scheduler", *options)
        return Forked(program, command, self._folder, self._environment(), self._log, TRAININGS)

    @property
    def _log(self) -> Path:
        return self._folder / "cluster.log"

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{self._ttl_s}s",
            "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
            "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
        }


def kill(process: Forked) -> None:
    """Kill a process, also a stopped one."""
    process.kill()
    process.wait()


class ScriptedEngine:
    """An engine that answers each shard by a function: its results, or a sentence about its failure."""

    def __init__(self, answer: Callable[[Shard], list[SeriesResult] | str]) -> None:
        self._answer = answer
        self.submitted: list[str] = []
        self._waiting: list[Shard] = []

    def submit(self, shard: Shard) -> None:
        """Note the shard."""
        self.submitted.append(shard.id)
        self._waiting.append(shard)

    def completed(self) -> Iterator[Done]:
        """Answer the shards in their order."""
        while self._waiting:
            shard = self._waiting.pop(0)
            answer = self._answer(shard)
            yield Done(shard, None, answer) if isinstance(answer, str) else Done(shard, answer)

    def cancel(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
