"""The function that workers of Dask call; a worker imports TensorFlow with its first task."""

import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tidecast.errors import StoreError
from tidecast.models.bucket.objects import Bucket
from tidecast.models.cohorts import Cohort
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from trainer.candidate import Screened, screened
from trainer.runs.exchange import Exchange
from trainer.runs.folder import RunFolder
from trainer.runs.job import Job
from trainer.runs.parts import read_part
from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard
from trainer.runs.tasks import Workplace, train_cohort, train_series

_ALONE = threading.Lock()  # a task uses all cores, so a worker with several threads runs one at a time


def run_shard(store: str, run: str, shard: Mapping[str, Any], bucket: str = "") -> list[dict[str, Any]]:
    """Carry out a shard, keep its models and results in the folder of the run, and return the results.

    Args:
        store: the directory of the store.
        run: the id of the run.
        shard: see `Shard.as_dict`.
        bucket: the address of the bucket that passes the files on, if this machine does not share that directory.

    Raises:
        StoreError: the store does not exist on this machine, or cannot be written.
        SettingsError: the run was started with another version of Tidecast.
    """
    with _ALONE:
        work = Shard.from_dict(shard)
        results = _through_bucket(bucket, run, work) if bucket else _results(Path(store), run, work)
        return [result.as_dict() for result in results]


def _through_bucket(url: str, run: str, shard: Shard) -> list[SeriesResult]:
    """Carry out a shard in the directory of this worker of Dask."""
    from distributed import get_worker

    root = Path(get_worker().local_directory) / "tidecast"
    exchange = Exchange(Bucket(url), RunFolder(root, run))
    if (former := exchange.results(shard.id)) is not None:
        return former
    exchange.fetch(shard)
    names = [history.series for history in read_part(RunFolder(root, run).part(shard.part), shard.start, shard.stop)]
    exchange.fetch_champions(ModelStore(root), names)
    return exchange.deliver(shard, _results(root, run, shard))


def _results(root: Path, run: str, shard: Shard) -> list[SeriesResult]:
    folder = RunFolder(root, run)
    if (former := folder.results(shard.id)) is not None:
        return former
    job = _job(folder)
    store = ModelStore(root)
    histories = read_part(folder.part(shard.part), shard.start, shard.stop)
    results = [screened(history, job.spec, job.settings, store, job.season, force=True) for history in histories]
    members = [each for each in results if isinstance(each, Screened)]
    place = Workplace(job, store, folder.keep)
    with store.writing():
        if shard.cohort:
            made = train_cohort(shard.cohort, members, store.cohort_network(shard.cohort.name), place)
        else:
            made = train_series(members, _networks(root, run), place)
        return folder.keep_results(shard.id, made)


def _job(folder: RunFolder) -> Job:
    """Return the job of a run.

    Raises:
        StoreError: the run does not exist in the store of this machine.
        SettingsError: another version of Tidecast has started the run.
    """
    fields = folder.read("job")
    if fields is None:
        raise StoreError(
            f"{folder.path} does not exist on this machine: mount the store at the same place on all machines"
        )
    return Job.from_dict(fields)


@lru_cache(maxsize=1)
def _networks(root: Path, run: str) -> dict[Cohort, Model]:
    """Return the networks of the cohorts that the driver has chosen for the series of a run."""
    shared = ModelStore(root).shared
    versions = RunFolder(root, run).read("networks") or {}
    networks = {name: shared.load(name, number)[1] for name, number in versions.items()}
    return {Cohort.of(name, network.header): network for name, network in networks.items()}
