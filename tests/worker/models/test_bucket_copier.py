"""A worker without the trainer's file system gets its models from a bucket, and says when it cannot."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.harness.models import make_model
from tests.harness.patience import until
from tests.harness.servers.s3 import ObjectServer, object_server, use
from tidecast.models.bucket.mirror import Changes, Mirror, copy_changes
from tidecast.models.bucket.objects import Bucket
from tidecast.models.store import ModelStore
from worker.bucket_copier import BucketCopier
from worker.metrics import Health


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """Run a server of S3, which this process finds in its environment."""
    with object_server() as server:
        use(server, monkeypatch)
        yield server


def test_a_worker_begins_with_the_models_of_the_bucket_and_gets_new_ones(server: ObjectServer, tmp_path: Path) -> None:
    """A machine without a store waits for the first copy; a rollback here goes back to the trainer."""
    trainer, mine = (ModelStore(tmp_path / name) for name in ("trainer", "worker"))
    trainer.publish(make_model("a"))
    copy_changes(trainer, server.url)
    with BucketCopier(mine, server.url, 0.01, Health()):
        assert ["a"] == mine.served()
        trainer.publish(make_model("a", seed=1))
        copy_changes(trainer, server.url)
        until(lambda: mine.champion("a") == 2)
        mine.rollback("a")

        def followed() -> bool:
            copy_changes(trainer, server.url)
            return trainer.champion("a") == 1

        until(followed)


@pytest.mark.usefixtures("server")
def test_a_bucket_that_cannot_be_used_is_logged_and_counted(tmp_path: Path) -> None:
    """The worker goes on with the models that it has; equal failures are not logged each time."""
    health = Health()
    failures = threading.Event()
    counted = health.failed

    def failed(kind: str) -> None:
        counted(kind)
        failures.set()

    health.failed = failed  # type: ignore[method-assign] # to know when the first copy has failed
    with capture_logs() as lines, BucketCopier(ModelStore(tmp_path), "s3://absent/plant", 0.01, health):
        assert failures.wait(30)
        until(lambda: (health.registry.get_sample_value("tidecast_failures_total", {"kind": "bucket"}) or 0) > 4)
    events = [line for line in lines if line["event"] == "models not copied"]
    assert "the bucket s3://absent/plant cannot be used" in events[0]["error"]
    assert len(events) < 4


def test_an_unforeseen_error_does_not_end_the_copying(server: ObjectServer, tmp_path: Path) -> None:
    """The version of a pointer that another program wrote is not a number: it is logged, and copied once it is one."""
    trainer, mine = (ModelStore(tmp_path / name) for name in ("trainer", "worker"))
    trainer.publish(make_model("a"))
    copy_changes(trainer, server.url)
    bucket = Bucket(server.url)
    (name,) = bucket.tags("pointers")
    stored = bucket.read(f"pointers/{name}")
    assert stored
    mine.publish(make_model("a"))
    damaged = stored.content.replace(b'"version": 1', b'"version": "x"')
    tag = bucket.replace(f"pointers/{name}", damaged, stored.tag)
    with capture_logs() as lines, BucketCopier(mine, server.url, 0.01, Health()):
        until(lambda: [line for line in lines if "TypeError" in line.get("error", "")])
        bucket.replace(f"pointers/{name}", stored.content, tag)
        until(lambda: [line for line in lines if line["event"] == "models copied"])


@pytest.mark.usefixtures("server")
def test_a_failure_of_many_series_is_a_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk refuses them all, each with its own path."""
    failures = [f"No space left on device: {number}" for number in range(500)]
    monkeypatch.setattr(Mirror, "sync", lambda _: Changes(failures=failures))
    health = Health()
    with capture_logs() as lines, BucketCopier(ModelStore(tmp_path), "s3://plant", 0.01, health):
        until(lambda: (health.registry.get_sample_value("tidecast_failures_total", {"kind": "bucket"}) or 0) > 8)
    errors = [line["error"] for line in lines if line["event"] == "models not copied"]
    assert {*failures[:3], "497 more series could not be copied"} == set(errors)
