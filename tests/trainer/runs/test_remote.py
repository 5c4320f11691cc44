"""Training on the workers of a real scheduler of Dask."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from redis import Redis

from tests.harness.processes import run_command
from tests.harness.servers.s3 import ObjectServer, object_server, use
from tests.trainer.harness import SPEC, cut, history
from tests.trainer.runs.harness import DaskCluster
from tidecast.errors import SettingsError
from tidecast.files.history import History
from tidecast.models.bucket.mirror import SEEN
from tidecast.models.bucket.objects import Bucket
from tidecast.models.known.inputs import KnownSeries
from tidecast.models.known.values import KnownValues
from tidecast.models.storage.training_runs import ended, running
from tidecast.models.store import ModelStore
from tidecast.settings import BucketSettings, Settings, load_settings
from tidecast.wire import Event
from trainer.pipeline import TrainOptions, train
from trainer.retrain.run import RetrainRequest, run
from trainer.runs import plan
from trainer.verdict import Verdict

SHARD = 2  # series
TRAIN = {"epochs": 2, "learning_rate": 0.02, "shared_epochs": 1}
pytestmark = [pytest.mark.keras, pytest.mark.settings(train=TRAIN)]


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    """A server of S3, which this process and those that it starts find in their environment."""
    with object_server() as running, pytest.MonkeyPatch.context() as patch:
        use(running, patch)
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, server: ObjectServer) -> Iterator[DaskCluster]:
    """A scheduler and one worker, as the import of TensorFlow takes seconds."""
    assert server.variables
    with DaskCluster(tmp_path_factory.mktemp("dask")) as running:
        yield running


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SERIES", SHARD)


def contents(store: ModelStore) -> dict[str, str]:
    """Return the digest of each file of a store but the logs, whose times differ, and the notes on the bucket."""
    files = [path for path in store.root.rglob("*") if path.is_file() and path.suffix != ".log" and path.name != SEEN]
    return {str(path.relative_to(store.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rounds() -> list[list[History]]:
    """Return the histories of a first training, one of them with a known input, and of a warm start."""
    given = [history(f"s{i}", 400 + 10 * i, seed=i) for i in range(3)] + [history("short", 20)]
    values = KnownValues()
    values.add("s*", "plan", given[0].ts, np.round(given[0].values[:, 0], 1))
    given[0] = replace(given[0], known=KnownSeries("s0", values))
    return [[cut(each, 380) for each in given], given]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelStore, list[list[Verdict]]]:
    """The store and the verdicts of a first training and a warm start in this process."""
    store = ModelStore(tmp_path_factory.mktemp("local"))
    settings = load_settings(store=store.root, train=TRAIN)
    with mock.patch.object(plan, "SERIES", SHARD):
        return store, [train(each, SPEC, settings, store, TrainOptions(now_ms=at)) for at, each in enumerate(rounds())]


@pytest.mark.parametrize("in_bucket", [False, True])
def test_the_models_are_those_of_one_process_byte_by_byte(
    settings: Settings,
    store: ModelStore,
    local: tuple[ModelStore, list[list[Verdict]]],
    cluster: DaskCluster,
    server: ObjectServer,
    *,
    in_bucket: bool,
) -> None:
    """Of the series, one with a known input, and of their cohort, also after a warm start; so are the verdicts.

    With a bucket the worker sees no file of the driver, and no object of the run is left.
    """
    expected_store, expected = local
    mine = settings.model_copy(update={"bucket": BucketSettings(url=server.url if in_bucket else "")})
    for now_ms, (histories, verdicts) in enumerate(zip(rounds(), expected, strict=True)):
        options = TrainOptions(now_ms=now_ms, scheduler=cluster.address)
        assert verdicts == train(histories, SPEC, mine, store, options)
    assert contents(expected_store) == contents(store)
    assert ("plan",) == store.load("s0")[1].spec.known
    assert (Bucket(server.url).tags("runs"), len(Bucket(server.url).tags("pointers"))) == ({}, 3 * in_bucket)
    assert len(store.shared.versions("value every 3600 s")) == 2
    assert [2, 2, 2, None] == [verdict.version for verdict in expected[-1]]


def test_a_training_in_another_store_leaves_the_bucket_alone(
    settings: Settings, tmp_path: Path, server: ObjectServer
) -> None:
    """A backtest and a search train in stores of their own, whose models must not become champions elsewhere."""
    bucket = Bucket(f"{server.url}/apart")
    settings = settings.model_copy(update={"bucket": BucketSettings(url=bucket.url)})
    train([history(readings=200)], SPEC, settings, ModelStore(tmp_path / "apart"), TrainOptions(now_ms=5))
    assert {} == bucket.tags("pointers")
    train([history(readings=200)], SPEC, settings, ModelStore(settings.store), TrainOptions(now_ms=5))
    assert len(bucket.tags("pointers")) == 1


def test_the_same_call_continues_a_run_whose_driver_was_killed(
    settings: Settings, store: ModelStore, tmp_path: Path, cluster: DaskCluster
) -> None:
    """Each series has one version and one verdict, and the models are those of an undisturbed run."""
    given = [history(f"s{i}", 200 + 10 * i, seed=i) for i in range(4)]

    def end(_: Sequence[Verdict]) -> None:
        raise KeyboardInterrupt

    options = TrainOptions(now_ms=5, scheduler=cluster.address, on_verdicts=end)
    with pytest.raises(KeyboardInterrupt):
        train(given, SPEC, settings, store, options)
    assert [(4, 2)] == [(run.series, run.trained) for run in running(store.root)]
    later = TrainOptions(now_ms=9, scheduler=cluster.address)
    verdicts = train(given, SPEC, settings, store, later)
    assert [("trained", 1)] * 4 == [(verdict.status, verdict.version) for verdict in verdicts]
    assert [] == running(store.root)
    assert [(4, 4)] == [(run.series, run.trained) for run in ended(store.root, 9)]
    undisturbed = ModelStore(tmp_path / "other")
    assert verdicts == train(given, SPEC, settings, undisturbed, TrainOptions(now_ms=5))
    assert contents(undisturbed) == contents(store)


def test_the_commands_train_on_a_scheduler(
    tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`train` and `backtest`; neither leaves a folder of its run."""
    monkeypatch.chdir(tmp_path)
    given = history(readings=200)
    rows = [f"{ts // 1000},{value}" for ts, value in zip(given.ts.tolist(), given.values[:, 0].tolist(), strict=True)]
    Path("a.csv").write_text("\n".join(["ts,value", *rows]))
    assert 0 == run_command("train", "a.csv", "--epochs", "1", "--json", "--scheduler", cluster.address)
    assert '"trained"' in capsys.readouterr().out
    arguments = ("--data", "a.csv", "--out", "out.csv", "--preset", "tutorial", "--scheduler", cluster.address)
    assert 0 == run_command("backtest", *arguments)
    assert {"series", "moves.log", "runs.log"} == {path.name for path in Path("models").iterdir()}


def test_a_scheduler_that_does_not_answer_is_reported(
    settings: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its address; the run can be continued."""
    from trainer.runs import dask_engine

    monkeypatch.setattr(dask_engine, "CONNECT_S", 0.2)
    with pytest.raises(SettingsError, match=r"tcp://127.0.0.1:1 cannot be reached"):
        train([history()], SPEC, settings, store, TrainOptions(scheduler="tcp://127.0.0.1:1"))


@pytest.mark.settings(train={"epochs": 1, "shared_epochs": 0}, retrain={"min_history": 120})
def test_the_schedule_trains_on_a_scheduler(settings: Settings, redis: Redis, cluster: DaskCluster) -> None:
    """Every series that is due gets an event."""
    for at, value in enumerate(history(readings=130).values[:, 0].tolist()):
        for number, name in enumerate(("a", "b", "c"), 1):
            ts = 1_700_000_000_000 + 60_000 * at
            last = redis.xadd("readings", {"series": name, "ts": ts, "value": value}, f"{ts}-{number}").decode()  # type: ignore[union-attr] # bytes
    redis.hset("offset", "last", last)
    retrain = settings.retrain.model_copy(update={"scheduler": cluster.address})
    summary = run(settings.model_copy(update={"retrain": retrain}), RetrainRequest(0))
    assert (3, 0, 0, 0) == (summary.trained, summary.kept, summary.refused, summary.put_off)
    assert ["promoted"] * 3 == [Event.decode(*entry).kind for entry in redis.xrange("events")]  # type: ignore[union-attr] # the synchronous client
    assert [3] == [each.trained for each in ended(settings.store, 9)]
