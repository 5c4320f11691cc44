"""A store and its copy in a bucket: each change reaches the other machines, and no machine undoes another's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.models import make_model
from tests.harness.servers.s3 import ObjectServer, object_server, use
from tidecast.errors import SettingsError, StoreError
from tidecast.models.bucket.mirror import Changes, Mirror, copy_changes, series_behind
from tidecast.models.bucket.objects import Bucket
from tidecast.models.storage.file_names import Pointer
from tidecast.models.store import ModelStore


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """Run a server of S3, which this process finds in its environment."""
    with object_server() as server:
        use(server, monkeypatch)
        yield server


@pytest.fixture
def bucket(server: ObjectServer) -> Bucket:
    """Return an empty bucket."""
    return Bucket(server.url)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[ModelStore, ModelStore]:
    """Return the stores of two machines."""
    return ModelStore(tmp_path / "one"), ModelStore(tmp_path / "two")


def sync(bucket: Bucket, *stores: ModelStore) -> list[Changes]:
    """Copy the changes of stores one after the other, each as a new process would."""
    return [Mirror(store, bucket).sync() for store in stores]


def test_a_champion_reaches_another_machine_byte_by_byte(
    bucket: Bucket, machines: tuple[ModelStore, ModelStore]
) -> None:
    """The other machine also gets the version to roll back to, and knows that the champion is new."""
    here, there = machines
    for seed in range(3):
        here.publish(make_model("kiln/1 ü", seed=seed))
    pushed, pulled = sync(bucket, here, there)
    assert (["kiln/1 ü"], ["kiln/1 ü"]) == (pushed.pushed, pulled.pulled)
    assert ([2, 3], Pointer(3, published=True)) == (there.versions("kiln/1 ü"), there.pointer("kiln/1 ü"))
    for number in (2, 3):
        name = f"{number:06d}.safetensors"
        assert (here.folder("kiln/1 ü") / name).read_bytes() == (there.folder("kiln/1 ü") / name).read_bytes()
    assert there.rollback("kiln/1 ü") == 2


def test_copying_again_changes_nothing(bucket: Bucket, machines: tuple[ModelStore, ModelStore]) -> None:
    """Without a change no object is written, and the other machine loads no model again."""
    here, there = machines
    here.publish(make_model("a"))
    sync(bucket, here, there)
    position = there.moves_since(0)[0]
    assert [Changes(), Changes()] == sync(bucket, here, there)
    assert there.moves_since(position) == (position, [])


def test_a_rollback_on_one_machine_holds_on_all(bucket: Bucket, machines: tuple[ModelStore, ModelStore]) -> None:
    """A worker rolls back in its own store; the trainer's store follows, though its champion has a greater version."""
    here, there = machines
    for seed in range(2):
        here.publish(make_model("a", seed=seed))
    sync(bucket, here, there)
    there.rollback("a")
    sync(bucket, there, here)
    assert (1, 1) == (here.champion("a"), there.champion("a"))


def test_of_two_changes_the_greater_version_remains(bucket: Bucket, machines: tuple[ModelStore, ModelStore]) -> None:
    """One machine rolls back to 1 while the other publishes 3: the new model is not lost."""
    here, there = machines
    for seed in range(2):
        here.publish(make_model("a", seed=seed))
    sync(bucket, here, there)
    there.rollback("a")
    here.publish(make_model("a", seed=2))
    sync(bucket, there, here, there)
    assert (3, 3) == (here.champion("a"), there.champion("a"))


def test_a_deleted_series_disappears_everywhere(bucket: Bucket, machines: tuple[ModelStore, ModelStore]) -> None:
    """From the bucket and from the other machine, even if the process that copied first has ended meanwhile."""
    here, there = machines
    here.publish(make_model("a"))
    here.publish(make_model("b"))
    sync(bucket, here, there)
    here.delete("a")
    sync(bucket, here, there)
    assert (["b"], ["b"]) == (here.served(), there.served())
    assert len(bucket.tags("pointers")) == len(bucket.tags("versions")) == 1
    assert there.series() == ["b"]


def test_a_renamed_series_keeps_its_versions_on_the_other_machine(
    bucket: Bucket, machines: tuple[ModelStore, ModelStore]
) -> None:
    """Its files contain the old name, which the copy lists as a former one."""
    here, there = machines
    here.publish(make_model("old"))
    sync(bucket, here, there)
    here.rename("old", "new")
    sync(bucket, here, there)
    assert (["new"], ["old"]) == (there.served(), there.former_names("new"))
    assert there.load("new")[1].header.series == "new"


def test_two_different_models_of_one_number_are_an_error(
    bucket: Bucket, machines: tuple[ModelStore, ModelStore]
) -> None:
    """Two machines have trained the same series: neither model is replaced in silence; other series go on."""
    here, there = machines
    here.publish(make_model("a", seed=0))
    there.publish(make_model("a", seed=1))
    there.publish(make_model("a", seed=2))
    there.publish(make_model("b"))
    sync(bucket, here)
    (changes,) = sync(bucket, there)
    assert ["b"] == changes.pushed
    (failure,) = changes.failures
    assert "another model as 000001.safetensors: train with one store only" in failure


def test_a_change_during_the_copy_is_not_overwritten(
    bucket: Bucket, machines: tuple[ModelStore, ModelStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pointer has changed after the list of tags was read: the write fails, and the next copy sees the change."""
    here, there = machines
    here.publish(make_model("a"))
    sync(bucket, here, there)
    there.publish(make_model("a", seed=1))
    mirror = Mirror(there, bucket)
    stale = bucket.tags("pointers")
    here.publish(make_model("a", seed=1))
    here.publish(make_model("a", seed=2))
    sync(bucket, here)
    with monkeypatch.context() as patch:
        patch.setattr(bucket, "tags", lambda folder: stale if folder == "pointers" else {})
        assert mirror.sync().pushed == []
    mirror.sync()
    assert there.champion("a") == 3


def test_networks_of_cohorts_are_copied_too(server: ObjectServer, machines: tuple[ModelStore, ModelStore]) -> None:
    """They lie in a store within the store."""
    here, there = machines
    here.shared.publish(make_model("hourly"))
    here.publish(make_model("a"))
    copy_changes(here, server.url)
    assert series_behind(there, Bucket(server.url)) == 1
    copy_changes(there, server.url)
    assert (["hourly"], ["a"], 0) == (there.shared.served(), there.served(), series_behind(there, Bucket(server.url)))


@pytest.mark.usefixtures("server")
def test_a_missing_bucket_is_an_error_with_its_address(machines: tuple[ModelStore, ModelStore]) -> None:
    """The sentence names the bucket and the remedy, without the reply's XML."""
    with pytest.raises(StoreError, match=r"s3://other/plant cannot be used .*check the address") as failure:
        copy_changes(machines[0], "s3://other/plant")
    assert "\n" not in str(failure.value)


def test_an_address_that_no_storage_has_is_refused() -> None:
    """The library knows which addresses it can open."""
    with pytest.raises(SettingsError, match="write s3://bucket/prefix"):
        Bucket("ftp://models/plant")


def test_a_damaged_pointer_is_reported_and_the_others_are_copied(
    bucket: Bucket, machines: tuple[ModelStore, ModelStore]
) -> None:
    """Somebody has written another object there."""
    here, there = machines
    here.publish(make_model("a"))
    here.publish(make_model("b"))
    sync(bucket, here)
    key = here.folder("a").name
    bucket.replace(f"pointers/{key}", b"nonsense", bucket.tags("pointers")[key])
    (changes,) = sync(bucket, there)
    assert ["b"] == changes.pulled
    assert "is not a pointer of Tidecast: delete it" in changes.failures[0]


def test_a_file_that_cannot_be_read_holds_no_other_series_up(
    bucket: Bucket, machines: tuple[ModelStore, ModelStore]
) -> None:
    """It is reported, and its series copied later; the others do not wait for their next versions."""
    here, _ = machines
    mirror = Mirror(here, bucket)
    for name in "abcd":
        here.publish(make_model(name))
    file = here.folder("c") / "000001.safetensors"
    content = file.read_bytes()
    file.unlink()
    changes = mirror.sync()
    assert ["a", "b", "d"] == sorted(changes.pushed)
    assert [str(file) in failure for failure in changes.failures] == [True]
    file.write_bytes(content)
    assert (["c"], []) == ((changes := mirror.sync()).pushed, changes.failures)
