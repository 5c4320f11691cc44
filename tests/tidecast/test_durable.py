"""Files that are whole or not there, on file systems that cannot do everything."""

import errno
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.harness.models import make_model
from tests.harness.nursery import fork
from tidecast import durable
from tidecast.errors import StoreError
from tidecast.models.store import ModelStore

CANNOT = ("EPERM", "EACCES", "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "EXDEV")
FAULTS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOENT", "ESTALE", "ENOMEM", "ENAMETOOLONG")


def failing(name: str) -> Callable[..., NoReturn]:
    """Return a call that fails with this error."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    return fail


def publish_without_links(root: Path, seed: int) -> list[int]:
    """Publish three versions where links are refused, in a process of its own."""
    os.link = failing("EPERM")
    return [ModelStore(root).publish(make_model("a", seed=seed)) for _ in range(3)]


def die_in_the_middle(root: Path, series: str) -> None:
    """Publish, and be killed once the name is reserved."""
    os.link = failing("EPERM")
    rename = Path.replace

    def die_or_rename(path: Path, target: Path) -> Path:
        if target.suffix == ".safetensors":
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(path, target)

    Path.replace = die_or_rename  # type: ignore[assignment,method-assign] # that is the point
    ModelStore(root).publish(make_model(series, seed=9))


@pytest.mark.parametrize("name", CANNOT)
def test_a_store_without_hard_links_works(monkeypatch: pytest.MonkeyPatch, store: ModelStore, name: str) -> None:
    """FAT, many network and FUSE file systems, and access rules refuse link(), each with an error of its own."""
    monkeypatch.setattr(os, "link", failing(name))
    assert [1, 2] == [store.publish(make_model("a", seed=seed)) for seed in range(2)]
    assert (2, [1, 2], ["a"]) == (store.champion("a"), store.versions("a"), store.series())
    assert [0o644] * 2 == [stat.S_IMODE(path.stat().st_mode) for path in store.root.rglob("0*.safetensors")]
    assert [] == list(store.root.rglob(".new-*"))


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("call", ["link", "fsync", "fchmod"])
def test_a_full_or_failing_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, call: str, name: str
) -> None:
    """The fallback is not for these errors. Nothing half written is left, and nothing was published."""
    store.publish(make_model("a"))
    before = set(store.root.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(name))
        with pytest.raises(StoreError, match=r"cannot be written .*: let this user write there, and see that its disk"):
            store.publish(make_model("a"))
    assert before == set(store.root.rglob("*"))
    assert 2 == store.publish(make_model("a"))


@pytest.mark.parametrize("name", [name for name in CANNOT if name not in ("EMLINK", "EXDEV")])
@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_file_system_without_modes_or_fsync_works(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, call: str, name: str
) -> None:
    """Those without links often lack these too: a folder cannot be synced, a file has no mode."""
    monkeypatch.setattr(os, call, failing(name))
    assert 1 == store.publish(make_model("a"))
    assert 1 == store.load("a")[0]


def test_processes_that_publish_at_once_without_links_get_distinct_numbers(store: ModelStore) -> None:
    """Each number is reserved by an exclusive create, and a reader finds whole versions alone."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        numbers = [n for made in pool.map(publish_without_links, [store.root] * 2, range(2)) for n in made]
    assert list(range(1, 7)) == sorted(numbers) == store.versions("a")
    assert all(store.load("a", number)[1].weights for number in numbers)


def test_a_name_that_another_took_by_a_link_is_not_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs with different rights may share a store: the two ways exclude each other."""
    first = tmp_path / "first"
    first.write_bytes(b"first")
    second = tmp_path / "second"
    second.write_bytes(b"second")
    name = tmp_path / "name"
    assert durable.named_first(first, name)
    monkeypatch.setattr(os, "link", failing("EPERM"))
    assert not durable.named_first(second, name)
    assert b"first" == name.read_bytes()
    other = tmp_path / "other"
    assert durable.named_first(second, other)
    monkeypatch.undo()
    assert not durable.named_first(first, other)
    assert b"second" == other.read_bytes()


@pytest.mark.parametrize("series", ["a", "new"])
def test_a_publisher_killed_in_the_middle_leaves_no_version(store: ModelStore, series: str) -> None:
    """Its number goes unused; answers, listings, pruning and the next version are as if it had never begun."""
    store.publish(make_model("a"))
    process = fork(die_in_the_middle, store.root, series)
    process.join()
    assert -signal.SIGKILL == process.exitcode
    assert (["a"], [1], 1) == (store.series(), store.versions("a"), store.champion("a"))
    assert [1] == [version.number for version in store.describe()]
    with pytest.raises(StoreError, match="no version 2"):
        store.promote("a", 2)
    assert (3 if series == "a" else 2) == store.publish(make_model(series))
    assert [] == store.prune("a", keep=1)


def test_a_rename_that_fails_gives_the_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each try on a full disk would use up a number."""
    temporary = tmp_path / "temporary"
    temporary.write_bytes(b"content")
    name = tmp_path / "name"
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing("EPERM"))
        patch.setattr(Path, "replace", failing("EIO"))
        with pytest.raises(OSError, match="error"):
            durable.named_first(temporary, name)
    assert not name.exists()
    assert durable.named_first(temporary, name)
