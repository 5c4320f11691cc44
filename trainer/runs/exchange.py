"""Pass the files of a run through a bucket, between a driver and workers that do not share a file system.

    <url>/runs/<run>/job.json, networks.json, parts/…, files/…, results/…    as in `folder.py`

The driver writes the first three, and tasks the others. An object is never changed.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tidecast.durable import replace
from tidecast.errors import StoreError
from tidecast.models.bucket.mirror import Mirror, mirrors_of
from tidecast.models.bucket.objects import Bucket
from tidecast.models.store import ModelStore
from trainer.runs.folder import ABANDONED_S, RUNS, RunFolder
from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard


class Exchange:
    """Copies the files of a run to and from a bucket.

    Args:
        bucket: the objects.
        folder: of the run, on this machine.
    """

    def __init__(self, bucket: Bucket, folder: RunFolder) -> None:
        self._bucket = bucket
        self._folder = folder
        self._prefix = f"{RUNS}/{folder.run}"

    def offer(self, store: ModelStore) -> None:
        """Write what the tasks need: champions, the job, the chosen networks and the histories.

        Args:
            store: of the driver.

        Raises:
            StoreError: the bucket cannot be written.
        """
        for mirror in mirrors_of(store, self._bucket):
            mirror.sync()
        present = self._bucket.tags(self._prefix)
        for path in (*sorted(self._folder.path.glob("parts/*.parquet")), *self._folder.path.glob("*.json")):
            name = str(path.relative_to(self._folder.path))
            if name not in present and not name.startswith((".", "plan")):
                self._bucket.create(f"{self._prefix}/{name}", path.read_bytes())

    def collect(self, results: Iterable[SeriesResult]) -> None:
        """Read the models of results that are not on this machine yet.

        Raises:
            StoreError: one is missing, or the bucket cannot be read.
        """
        for result in results:
            if result.digest:
                self._fetch(f"files/{result.digest}", self._folder.file(result.digest))

    def results(self, shard: str) -> list[SeriesResult] | None:
        """Return the results that a task has written, with their models on this machine; None without any."""
        stored = self._bucket.read(self._results(shard))
        if stored is None:
            return None
        results = list(map(SeriesResult.from_dict, json.loads(stored.content)))
        self.collect(results)
        return results

    def remove(self) -> None:
        """Delete the objects of the run, and those of runs that nobody has continued for a week."""
        self._bucket.delete(*(f"{self._prefix}/{name}" for name in self._bucket.tags(self._prefix)))
        self._bucket.delete(*self._bucket.older_than(RUNS, time.time() - ABANDONED_S))

    def fetch(self, shard: Shard) -> None:
        """Read what the task of a shard needs to this machine.

        Raises:
            StoreError: the run has ended, or the bucket cannot be read.
        """
        self._folder.create()
        self._fetch("job.json", self._folder.path / "job.json")
        self._fetch(f"parts/{shard.part}.parquet", self._folder.part(shard.part))
        if not shard.cohort and self._bucket.tags(self._prefix).get("networks.json"):
            self._fetch("networks.json", self._folder.path / "networks.json")

    def fetch_champions(self, store: ModelStore, series: Sequence[str]) -> None:
        """Copy the champions of some series, and all networks that cohorts share, to the store of this machine."""
        Mirror(store.shared, self._bucket, "shared/").sync()
        Mirror(store, self._bucket).sync(series)

    def deliver(self, shard: Shard, results: list[SeriesResult]) -> list[SeriesResult]:
        """Write the results of a task and their models, unless the shard has some; return those that count."""
        for result in results:
            if result.digest:
                self._bucket.create(
                    f"{self._prefix}/files/{result.digest}", self._folder.file(result.digest).read_bytes()
                )
        verdicts = json.dumps([result.as_dict() for result in results]).encode()
        if self._bucket.create(self._results(shard.id), verdicts):
            return results
        return self.results(shard.id) or results

    def _fetch(self, name: str, path: Path) -> None:
        if path.exists():
            return
        stored = self._bucket.read(f"{self._prefix}/{name}")
        if stored is None:
            raise StoreError(f"{self._bucket.url}/{self._prefix}/{name} does not exist: has the training run ended?")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, stored.content)

    def _results(self, shard: str) -> str:
        return f"{self._prefix}/results/{shard}.json"
