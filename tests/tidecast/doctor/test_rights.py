"""Rights that the user on Redis, or on the file system, lacks."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.harness.installation import Installation
from tidecast.connection import connect
from tidecast.doctor.rights import PROBES, needed
from tidecast.doctor.series import facts_of
from tidecast.models.store import ModelStore
from tidecast.online.series.describe_state import describe_state
from tidecast.settings import RetrainSettings, Settings, WorkerSettings
from tidecast.tools import status

DOCS = Path(__file__).parents[3] / "docs"
NOBODY = 65_534  # a user without rights
LOOKS = re.search(r"^ACL SETUSER tidecast-worker (.+)$", (DOCS / "how-to" / "doctor.md").read_text(), re.MULTILINE)


def documented() -> list[str]:
    """Return the rights of a worker, and its keys, as docs/operations.md grants them, without a namespace."""
    line = re.search(r"^ACL SETUSER tidecast-worker reset (.+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert line
    return [word for word in line[1].split() if word.startswith(("+", "-"))] + ["~*"]


@contextmanager
def user(installation: Installation, *rights: str) -> Iterator[Installation]:
    """The installation with a user with these rights."""
    installation.redis.execute_command("ACL", "SETUSER", "w", "reset", "on", ">w", *rights)
    url = installation.server.url.replace("redis://", "redis://w:w@")
    try:
        yield installation.told(redis_url=SecretStr(url))
    finally:
        installation.redis.acl_deluser("w")


def test_the_rights_that_are_tried_are_those_of_the_documentation() -> None:
    """They are all the rights that a worker needs, and those that some settings need."""
    granted = {word.removeprefix("+") for word in documented() if word.startswith("+")}
    assert granted == needed(Settings(retrain=RetrainSettings(every="never")))
    kept = Settings(
        worker=WorkerSettings(retention=1.0, wait_for_group="g", wait_replicas=1), retrain=RetrainSettings(every="1h")
    )
    assert set(PROBES) == needed(kept.with_partitions((1, 4)))


def test_who_has_all_documented_rights_lacks_none(healthy: Installation) -> None:
    """With those that the doctor's own looks need."""
    assert LOOKS
    with user(healthy, *documented(), *LOOKS[1].split()) as installation:
        assert [] == installation.examine()


def test_who_has_them_sees_one_series_and_the_status(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two more for the latter, as documented."""
    monkeypatch.setattr(status, "COUNTED", 0)
    assert LOOKS
    with (
        user(healthy, *documented(), *LOOKS[1].split(), "+hlen", "+hrandfield") as installation,
        connect(installation.settings) as redis,
    ):
        assert 3 == facts_of("a", installation.settings, describe_state)["state"]["readings"]
        assert 3 == status.StatusWatch(redis, installation.settings).look().as_dict()["answered"]


def test_what_may_not_be_looked_at_is_said(healthy: Installation) -> None:
    """A worker's rights do not suffice for a doctor."""
    with user(healthy, *documented(), "+xrange") as installation:
        (finding,) = installation.examine()
    assert ("skipped", "warning") == (finding.check, finding.severity)
    assert "version, persistence, memory, role" in finding.problem
    assert "docs/how-to/doctor.md" in finding.remedy


@pytest.mark.parametrize("right", sorted(PROBES))
def test_a_missing_right_is_named(healthy: Installation, right: str) -> None:
    """Whatever it is; the command that tries it changes nothing."""
    changed = healthy.told(
        worker=WorkerSettings(lease=60.0, retention=60.0, wait_for_group="tidecast", wait_replicas=1)
    )
    healthy.redis.set("partitions", "1,4")
    before = contents(healthy)
    with user(changed, "~*", "+@all", f"-{right.partition('|')[0]}") as installation:
        rights = {finding.check: finding for finding in installation.examine()}["rights"]
    assert "error" == rights.severity
    assert f"+{right}" in rights.problem.split()
    assert "docs/operations.md" in rights.remedy
    assert before == contents(healthy)


def contents(installation: Installation) -> dict[bytes, bytes | None]:
    """Return every key with its value, as Redis dumps it."""
    return {key: installation.redis.dump(key) for key in installation.redis.scan_iter()}


def test_keys_that_are_not_granted_are_named(healthy: Installation) -> None:
    """As the pattern that is missing."""
    with user(
        healthy, "+@all", *(f"~{key}" for key in ("readings", "offset", "lease", "state", "partitions"))
    ) as installation:
        rights = {finding.check: finding for finding in installation.examine()}["rights"]
    assert {"~forecasts", "~dead", "~events", "~retrain", "~workers"} <= set(rights.problem.split())
    assert "~readings" not in rights.problem.split()


@contextmanager
def powerless() -> Iterator[None]:
    """Run as a user to whom the rights of files apply, also where tests run as root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_store_that_cannot_be_written_is_found(healthy: Installation) -> None:
    """It matters where models are trained."""
    root = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(healthy.settings.store, root / "models")
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o555)
        with powerless():
            (finding,) = healthy.told(store=root / "models").examine()
            unscheduled = RetrainSettings()
            (warning,) = healthy.told(store=root / "models", retrain=unscheduled).examine()
        assert ["a"] == ModelStore(root / "models").served()
    finally:
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        shutil.rmtree(root)
    assert [("writable", "error"), ("writable", "warning")] == [(f.check, f.severity) for f in (finding, warning)]
    assert "grant this user the right to write there" in finding.remedy


def test_a_store_on_a_full_disk_is_found(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file can still be made there."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_place: full)
        (finding,) = healthy.examine()
    assert ("writable", "error") == (finding.check, finding.severity)
    assert "No space left on device" in finding.problem
    assert "free its disk" in finding.remedy
