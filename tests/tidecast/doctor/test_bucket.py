"""The doctor looks at the bucket that keeps a copy of the store."""

from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.servers.s3 import object_server, use
from tidecast.doctor.finding import Case
from tidecast.doctor.models import bucket
from tidecast.models.bucket.mirror import copy_changes
from tidecast.models.store import ModelStore
from tidecast.settings import BucketSettings, Settings


def test_models_that_were_not_copied_and_a_bucket_that_is_away_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Otherwise a worker could go on with old models in silence."""
    trainer = ModelStore(tmp_path / "trainer")
    trainer.publish(make_model("a"))
    none = cast("Redis", None)  # this check needs no Redis
    with object_server() as server:
        use(server, monkeypatch)
        copy_changes(trainer, server.url)
        case = Case(settings.model_copy(update={"bucket": BucketSettings(url=server.url)}), none, none)
        (finding,) = bucket(case)
        assert finding.severity == "warning"
        assert finding.problem.startswith(f"1 series have a newer model in {server.url} than in ")
        copy_changes(case.store, server.url)
        assert not list(bucket(case))
    (finding,) = bucket(case)
    assert finding.severity == "error"
    assert f"the bucket {server.url} cannot be used" in finding.problem
