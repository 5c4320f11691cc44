"""The model store: versions, the pointer, its log, and the state after a crash."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.models import make_model
from tidecast.errors import ModelError, StoreError
from tidecast.models import store as stores
from tidecast.models.model import Model
from tidecast.models.storage.file_names import Pointer
from tidecast.models.storage.moves_log import MovesLog
from tidecast.models.store import ModelStore


def publish_some(root: Path, seed: int) -> list[int]:
    """Publish three versions; run by many at once."""
    return [ModelStore(root).publish(make_model("a", seed=seed)) for _ in range(3)]


def folder_of(store: ModelStore) -> Path:
    """Return the one series' folder."""
    (folder,) = (store.root / "series").iterdir()
    return folder


def test_published_versions_are_numbered_and_kept(store: ModelStore) -> None:
    """Each publication is a new version; the newest promoted answers."""
    assert [1, 2, 3] == [store.publish(make_model("a", seed=seed)) for seed in range(3)]
    assert [1, 2, 3] == store.versions("a")
    number, model = store.load("a")
    assert number == 3
    np.testing.assert_array_equal(make_model("a", seed=2).weights["dense.kernel"], model.weights["dense.kernel"])
    np.testing.assert_array_equal(
        make_model("a", seed=0).weights["dense.kernel"], store.load("a", 1)[1].weights["dense.kernel"]
    )


def test_an_empty_store_answers_without_error(store: ModelStore) -> None:
    """A missing directory is read as an empty store."""
    assert [] == store.series() == store.served() == store.versions("a") == list(store.describe())
    assert store.champion("a") is None
    assert (0, []) == store.moves_since(0)
    with pytest.raises(StoreError, match="no champion"):
        store.load("a")


def test_a_refused_candidate_is_kept_but_does_not_answer(store: ModelStore) -> None:
    """Published without promotion, a version waits; promoted by hand, it answers; and back."""
    store.publish(make_model("a"), promote=False)
    assert (["a"], [], None) == (store.series(), store.served(), store.champion("a"))
    store.promote("a", 1)
    store.publish(make_model("a", seed=1))
    store.promote("a", 1)
    assert (["a"], 1, [1, 2]) == (store.served(), store.champion("a"), store.versions("a"))
    assert [True, False] == [version.champion for version in store.describe("a")]


def test_a_version_that_is_not_there_cannot_be_promoted_or_loaded(store: ModelStore) -> None:
    """The message lists the existing ones."""
    store.publish(make_model("a"))
    with pytest.raises(StoreError, match="no version 7; it has 1"):
        store.promote("a", 7)
    with pytest.raises(StoreError, match="no version 7"):
        store.load("a", 7)
    with pytest.raises(StoreError, match="it has none"):
        store.promote("b", 1)


def test_a_pointer_says_whether_the_gate_chose_its_version(store: ModelStore) -> None:
    """A move by hand, back or to the same version, is not the gate's, nor is one marked by an unknown word."""
    assert store.pointer("a") is None
    store.publish(make_model("a"))
    store.publish(make_model("a"))
    assert Pointer(2, published=True) == store.pointer("a")
    store.promote("a", 2)
    assert Pointer(2, published=False) == store.pointer("a")
    (folder_of(store) / "champion").write_bytes(b"1 tomorrow")
    assert Pointer(1, published=False) == store.pointer("a")


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/b", "..", "Zürich 🌊", "x" * 256, "champion", "*"])
def test_a_series_name_is_never_part_of_a_path(store: ModelStore, name: str) -> None:
    """Whatever its name, a series stays inside the store and comes back by its name."""
    around = set(store.root.parent.rglob("*"))
    store.publish(make_model(name))
    assert [name] == store.series()
    assert store.load(name)[1].header.series == name
    new = set(store.root.parent.rglob("*")) - around
    assert all(store.root == path or store.root in path.parents for path in new)
    assert not any(name.strip("./*") and name.strip("./*") == path.name for path in new if path.name != "champion")


def test_processes_that_publish_at_once_get_distinct_numbers(store: ModelStore) -> None:
    """The same between processes, and every move has its whole line."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        numbers = [n for published in pool.map(publish_some, [store.root] * 2, range(2)) for n in published]
    assert list(range(1, 7)) == sorted(numbers)
    assert 6 == (store.root / "moves.log").read_bytes().count(b"\n")
    position, _ = store.moves_since(0)
    assert (store.root / "moves.log").stat().st_size == position


def test_what_a_crash_left_behind_is_ignored(store: ModelStore) -> None:
    """Unfinished files neither count as versions nor get in the way of the next."""
    store.publish(make_model("a"))
    folder = folder_of(store)
    (folder / ".new-abc").write_bytes(b"half a model")
    (folder / ".new-def").write_bytes(b"")
    assert [1] == store.versions("a")
    assert 2 == store.publish(make_model("a"))
    assert [".new-abc", ".new-def", "000001.safetensors", "000002.safetensors", "champion", "series.json"] == sorted(
        path.name for path in folder.iterdir()
    )


def test_a_series_whose_first_version_was_never_written_is_not_listed(store: ModelStore) -> None:
    """A crash between the name and the first version leaves no ghost."""
    store.publish(make_model("a"))
    (folder_of(store) / "000001.safetensors").unlink()
    assert [] == store.series() == list(store.describe())


def test_a_model_that_is_refused_leaves_nothing(store: ModelStore) -> None:
    """The weights are checked before anything is written."""
    model = make_model("a")
    with pytest.raises(ModelError):
        store.publish(Model(model.header, {}))
    assert [] == list(store.root.rglob("*"))


def test_a_version_of_another_series_is_refused(store: ModelStore) -> None:
    """A file that was copied into the wrong folder does not answer."""
    store.publish(make_model("a"))
    (folder_of(store) / "000002.safetensors").write_bytes(stores.model_file.encode(make_model("b")))
    with pytest.raises(StoreError, match="belongs to 'b'"):
        store.load("a", 2)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff"])
def test_a_damaged_pointer_is_said_to_be_one(store: ModelStore, content: bytes) -> None:
    """No traceback, and a promotion mends it."""
    store.publish(make_model("a"))
    (folder_of(store) / "champion").write_bytes(content)
    with pytest.raises(StoreError, match="promote"):
        store.champion("a")
    store.promote("a", 1)
    assert 1 == store.champion("a")


def test_a_renamed_series_keeps_its_versions_its_champion_and_the_one_before(store: ModelStore) -> None:
    """Its files say the old name, and answer for the new one alone; a rollback still works."""
    for seed in range(3):
        store.publish(make_model("a", seed=seed))
    store.promote("a", 2)
    assert store.rename("a", "b")
    assert (["b"], ["b"], [1, 2, 3], 2) == (store.series(), store.served(), store.versions("b"), store.champion("b"))
    assert "b" == store.load("b")[1].header.series
    assert store.rename("b", "c")
    assert 1 == store.rollback("c")
    assert ([], None) == (store.versions("a"), store.champion("a"))
    assert 1 == store.publish(make_model("a"))
    with pytest.raises(StoreError, match="no champion before"):
        store.rollback("a")
    with pytest.raises(StoreError, match="already"):
        store.rename("a", "c")
    assert store.rename("a", "c", replacing=True)
    assert ([1], ["c"]) == (store.versions("c"), store.series())


class Killed(BaseException):
    """The end of a process, which no code handles."""


@pytest.mark.parametrize("new", ["b", None])
def test_a_deletion_or_a_new_name_that_was_interrupted_is_completed_by_the_next_call(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, new: str | None
) -> None:
    """Kill it before each of its operations on files in turn; nothing of the old name stays."""
    operations = [(stores, "replace"), (stores, "sync"), (stores.shutil, "rmtree"), (Path, "rename")]

    def change() -> None:
        if new is None:
            store.delete("a")
        else:
            store.rename("a", new)

    for lived in range(20):
        for name in ("a", "b"):
            store.delete(name)
        store.publish(make_model("a"))
        position = store.moves_since(0)[0]
        left = lived

        def counted(run: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*given: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                return run(*given, **more)

            return operation

        with monkeypatch.context() as patched:
            for owner, name in [*operations, (MovesLog, "append")]:
                patched.setattr(owner, name, counted(getattr(owner, name)))
            with suppress(Killed):
                change()
        was_killed = left < 0
        change()
        assert ["b"] * (new is not None) == store.series() == store.served()
        assert {"a", "b"} & {"a", new} <= set(store.moves_since(position)[1])
        left_over = [
            path for path in store.root.rglob("*") if path.parent == store.root / "series" or "deleted" in path.name
        ]
        assert len(left_over) == (new is not None)
        if not was_killed:
            return
    raise AssertionError("it was killed each time")


def test_the_log_names_each_moved_series_once(store: ModelStore) -> None:
    """A reader goes on from where it was and gets every move since."""
    for name in ("a", "b"):
        store.publish(make_model(name))
    position, moved = store.moves_since(0)
    assert ["a", "b"] == moved
    assert (position, []) == store.moves_since(position)
    for name in ("b", "c", "b"):
        store.publish(make_model(name))
    assert ["b", "c"] == store.moves_since(position)[1]


def test_a_line_still_being_written_is_read_once_it_is_whole(store: ModelStore) -> None:
    """Half a line is neither misread nor lost."""
    store.publish(make_model("a"))
    position, _ = store.moves_since(0)
    log = store.root / "moves.log"
    whole = b'{"series": "b", "version": 1}\n'
    for cut in (1, 15, len(whole) - 1):
        log.write_bytes(log.read_bytes()[:position] + whole[:cut])
        assert (position, []) == store.moves_since(position)
    log.write_bytes(log.read_bytes()[:position] + whole)
    assert (position + len(whole), ["b"]) == store.moves_since(position)


def test_a_first_line_still_being_written_names_nothing_yet(store: ModelStore) -> None:
    """At the very start too."""
    store.publish(make_model("a"))
    (store.root / "moves.log").write_bytes(b'{"series"')
    assert (0, []) == store.moves_since(0)


def test_a_shortened_log_makes_every_champion_count_as_moved(store: ModelStore) -> None:
    """No champion is missed, even if the log was cleared."""
    for name in ("a", "b", "c"):
        store.publish(make_model(name))
    position, _ = store.moves_since(0)
    (store.root / "moves.log").write_bytes(b'{"series": "b", "version": 1}\n')
    assert (30, ["a", "b", "c"]) == store.moves_since(position)


def test_a_damaged_line_makes_every_champion_count_as_moved(store: ModelStore) -> None:
    """A torn line may have named any series, and must not stop the reader for ever."""
    for name in ("a", "b"):
        store.publish(make_model(name))
    position, _ = store.moves_since(0)
    with (store.root / "moves.log").open("ab") as log:
        log.write(b'{"series": "a", "ver{"series": "b", "version": 1}\n')
    after, moved = store.moves_since(position)
    assert ["a", "b"] == moved
    assert (after, []) == store.moves_since(after)
    store.delete("b")
    assert ["b"] == [ending.series for ending in store.endings()]


def test_a_pointer_moved_without_its_line_is_found_at_the_start(store: ModelStore) -> None:
    """A crash between the pointer and its line does not hide the champion from the next worker."""
    for name in ("a", "b"):
        store.publish(make_model(name))
    log = store.root / "moves.log"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    assert ["a", "b"] == store.moves_since(0)[1]


def test_all_versions_are_described_by_name_and_number(store: ModelStore) -> None:
    """The order does not depend on the names' hashes."""
    for name in ("b", "a", "b"):
        store.publish(make_model(name))
    assert [("a", 1, True), ("b", 1, False), ("b", 2, True)] == [
        (version.series, version.number, version.champion) for version in store.describe()
    ]


def test_rollback_goes_back_champion_by_champion(store: ModelStore) -> None:
    """A version that never answered is passed over, and at the first champion there is nowhere to go."""
    for promote in (True, False, True, True):
        store.publish(make_model("a"), promote=promote)
    assert [3, 1] == [store.rollback("a"), store.rollback("a")]
    assert 1 == store.champion("a")
    with pytest.raises(StoreError, match="had no champion before version 1"):
        store.rollback("a")


def test_prune_spares_the_newest_the_champion_and_the_way_back(store: ModelStore) -> None:
    """The current version, the one before it and the newest stay."""
    for _ in range(6):
        store.publish(make_model("a"))
    store.promote("a", 4)
    assert [1, 2, 5] == store.prune("a", keep=1)
    assert [3, 4, 6] == store.versions("a")
    assert [] == store.prune("a", keep=10)
    assert 3 == store.rollback("a")
