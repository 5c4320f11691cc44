"""The folder of a run in the store, which its driver and all tasks share.

    <store>/runs/<run>/job.json              what the tasks need besides a shard
                       plan.json             the shards, the names of their series, and the series that are not trained
                       networks.json         the versions of the cohorts' networks that the series use
                       parts/<id>.parquet    the histories of a shard
                       files/<digest>        models that are not published yet, by the SHA-256 of their content
                       results/<shard>.json  the first result of a task
                       driver-<token>/       of the driver, see `driver_folder.py`

Tasks only add files and never change one. So a task may run twice, and its second end has no effect.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tidecast.durable import is_written, named_first, replace, write_new
from trainer.runs.results import SeriesResult

RUNS = "runs"
LOCAL = "local-"  # begins the ids of runs in one process, which no other process continues
ABANDONED_S = 7 * 86_400.0  # a run that nobody has continued for so long is removed
BEGINNING_S = 600.0  # a run that has begun so lately may not hold its lock yet


class RunFolder:
    """The folder of a run.

    Args:
        store: the directory of the store.
        run: the id of the run.
    """

    def __init__(self, store: Path, run: str) -> None:
        self.run = run
        self.path = store / RUNS / run
        self._files = self.path / "files"
        self._parts = self.path / "parts"
        self._results = self.path / "results"

    def create(self) -> None:
        """Make the folders; raise OSError if the store cannot be written."""
        for folder in (self._files, self._parts, self._results):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a lock on the folder within the block; it is released if the process is killed."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # the file system may have no locks
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def keep(self, content: bytes) -> str:
        """Write a model's file, and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        write_new(self._files, content).replace(self.file(digest))
        return digest

    def file(self, digest: str) -> Path:
        """Return the path of a model's file."""
        return self._files / digest

    def keep_part(self, content: bytes) -> str:
        """Write the file of a part, and return its id."""
        digest = hashlib.sha256(content).hexdigest()
        write_new(self._parts, content).replace(self.part(digest))
        return digest

    def part(self, part: str) -> Path:
        """Return the path of a part's file."""
        return self._parts / f"{part}.parquet"

    def keep_results(self, shard: str, results: list[SeriesResult]) -> list[SeriesResult]:
        """Write a task's results, unless the shard has some; return those that count."""
        temporary = write_new(self._results, json.dumps([result.as_dict() for result in results]).encode())
        try:
            is_first = named_first(temporary, self._result(shard))
        finally:
            temporary.unlink(missing_ok=True)
        return results if is_first else self.results(shard) or results

    def results(self, shard: str) -> list[SeriesResult] | None:
        """Return the results of a shard, None if it has none yet."""
        path = self._result(shard)
        return list(map(SeriesResult.from_dict, json.loads(path.read_bytes()))) if is_written(path) else None

    def write(self, name: str, content: Any) -> None:
        """Write `<name>.json`."""
        replace(self.path / f"{name}.json", json.dumps(content).encode())

    def read(self, name: str) -> Any:
        """Return the content of `<name>.json`, None if it does not exist."""
        path = self.path / f"{name}.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def _result(self, shard: str) -> Path:
        return self._results / f"{shard}.json"


def remove_abandoned(root: Path) -> None:
    """Remove the runs of killed processes, unless another process may continue them, and runs that rest for a week.

    Args:
        root: the directory of the store.
    """
    now = time.time()
    for run in (root / RUNS).glob("*/"):
        with suppress(FileNotFoundError):  # another process removes it
            idle_s = now - max(path.stat().st_mtime for path in (run, *run.glob("*"), *run.glob("*/*")))
            is_left = run.name.startswith(LOCAL) and idle_s > BEGINNING_S and not _is_held(run)
            if is_left or run.name.startswith("removed-") or idle_s > ABANDONED_S:
                shutil.rmtree(run)


def _is_held(run: Path) -> bool:
    """Return whether a living process holds the lock on a run's folder, or the file system has no locks."""
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
