"""A worker with models, and a Redis of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.contestants import Contestant, serving
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore


class Installation(NamedTuple):
    """A worker that serves some series."""

    folder: Path  # the store is in `models`
    server: EmbeddedRedis
    worker: Contestant


@contextmanager
def installation(series: int, sweeps: int, versions: int = 1) -> Iterator[Installation]:
    """Run a worker that has answered some readings of each series.

    Args:
        series: their number; each has a champion.
        sweeps: the readings of each.
        versions: the versions of each model.
    """
    with tempfile.TemporaryDirectory() as name, EmbeddedRedis() as server:
        folder = Path(name)
        publish_models(ModelStore(folder / "models"), series, versions=versions)
        with serving(server, folder, Readings(series)) as worker:
            worker.warm_up(sweeps * series)
            yield Installation(folder, server, worker)
