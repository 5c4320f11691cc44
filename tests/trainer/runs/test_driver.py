"""The driver of a run: retries, halves, and the fence against former drivers."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness.models import make_model
from tests.trainer.runs.harness import ScriptedEngine
from tidecast.errors import SettingsError
from tidecast.models.storage import model_file
from tidecast.models.store import ModelStore
from trainer.runs.dask_engine import DaskEngine
from trainer.runs.driver import Driver
from trainer.runs.driver_folder import DriverFolder, RunTakenOver
from trainer.runs.folder import RunFolder, remove_abandoned
from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard
from trainer.verdict import Verdict

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def run(store: ModelStore) -> RunFolder:
    """A new run in the store."""
    folder = RunFolder(store.root, "run")
    folder.create()
    return folder


def result_of(run: RunFolder, series: str, seed: int = 0) -> SeriesResult:
    """Return the result of a series with a model that is better than the champion."""
    digest = run.keep(model_file.encode(make_model(series, seed=seed)))
    return SeriesResult(Verdict(series, "trained", "it is better"), digest, promote=True)


def names_of(shard: Shard) -> Sequence[str]:
    """Return the names of a shard's series."""
    return NAMES[shard.start : shard.stop]


def driver_of(folder: DriverFolder, store: ModelStore, engine: ScriptedEngine, verdicts: list[Verdict]) -> Driver:
    """Return a driver that adds its verdicts to a list."""
    return Driver(folder, store, engine, 0, names_of, verdicts.extend)


def test_a_shard_that_fails_is_tried_three_times_and_then_halved(run: RunFolder, store: ModelStore) -> None:
    """So the one series that ends its task is found, and the others get their models."""
    verdicts: list[Verdict] = []

    def answer(shard: Shard) -> list[SeriesResult] | str:
        names = names_of(shard)
        return "MemoryError" if "c" in names else [result_of(run, name) for name in names]

    engine = ScriptedEngine(answer)
    driver_of(DriverFolder(run), store, engine, verdicts).run([Shard("0", "", 0, 4)])
    assert engine.submitted == ["0"] * 3 + ["0a", "0b", "0b", "0b", "0ba", "0bb", "0ba", "0ba"]
    by_series = {verdict.series: verdict for verdict in verdicts}
    assert len(verdicts) == len(by_series) == 4
    assert {"a", "b", "d"} == set(store.served())
    assert ("refused", "its training failed 3 times; the last error: MemoryError") == (
        by_series["c"].status,
        by_series["c"].reason,
    )


def test_a_new_driver_continues_where_the_former_one_stopped(run: RunFolder, store: ModelStore) -> None:
    """Settled shards keep their verdicts, left results are published, and only the rest is trained."""
    verdicts: list[Verdict] = []
    shards = [Shard("0", "", 0, 1), Shard("1", "", 1, 2), Shard("2", "", 2, 4)]

    def stopping(shard: Shard) -> list[SeriesResult] | str:
        results = run.keep_results(shard.id, [result_of(run, name) for name in names_of(shard)])
        if shard.id == "1":
            raise KeyboardInterrupt
        return results

    with pytest.raises(KeyboardInterrupt):
        driver_of(DriverFolder(run), store, ScriptedEngine(stopping), []).run(shards, run.results)
    engine = ScriptedEngine(lambda shard: [result_of(run, name) for name in names_of(shard)])
    driver_of(DriverFolder(run), store, engine, verdicts).run(shards, run.results)
    assert engine.submitted == ["2"]
    assert [("a", 1), ("b", 1), ("c", 1), ("d", 1)] == [(verdict.series, verdict.version) for verdict in verdicts]
    assert [1] * 4 == [store.champion(name) for name in NAMES]


class Halting(ModelStore):
    """A store that calls a function once, just before a method begins."""

    def __init__(self, root: Path, method: str, interrupt: Callable[[], Any]) -> None:
        super().__init__(root)
        self._method = method
        self._interrupt = interrupt

    def add(self, series: str, file: Path) -> int:
        """Add a version."""
        self._before("add")
        return super().add(series, file)

    def promote(self, series: str, number: int, *, published: bool = False, through: Path | None = None) -> None:
        """Move a champion."""
        self._before("promote")
        super().promote(series, number, published=published, through=through)

    def _before(self, method: str) -> None:
        if method == self._method:
            self._method = ""
            self._interrupt()


@pytest.mark.parametrize("moment", ["add", "promote"])
def test_a_driver_that_stopped_in_mid_publication_does_nothing_when_it_goes_on(
    run: RunFolder, store: ModelStore, moment: str
) -> None:
    """Its successor publishes the model once, and an operator's choice since then stays."""
    store.publish(make_model("a", seed=7))
    result = result_of(run, "a")
    zombie = DriverFolder(run)

    def take_over() -> None:
        assert 2 == DriverFolder(run).publish("a", result, store)
        store.promote("a", 1)

    with pytest.raises(RunTakenOver, match="another process has continued"):
        zombie.publish("a", result, Halting(store.root, moment, take_over))
    assert ([1, 2], 1) == (store.versions("a"), store.champion("a"))
    with pytest.raises(RunTakenOver):
        zombie.record({"settled": "0"})


def test_without_the_fence_a_zombie_would_move_a_champion(
    run: RunFolder, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the test above detects it."""
    monkeypatch.setattr(DriverFolder, "_fence_off", lambda _: [])
    store.publish(make_model("a", seed=7))
    zombie = DriverFolder(run)

    def take_over() -> None:
        DriverFolder(run)
        store.promote("a", 1)

    zombie.publish("a", result_of(run, "a"), Halting(store.root, "promote", take_over))
    assert 2 == store.champion("a")


def test_a_series_that_was_deleted_during_the_run_gets_no_version(run: RunFolder, store: ModelStore) -> None:
    """Nothing of the old name comes back."""
    store.publish(make_model("a"))
    store.delete("a")
    verdicts: list[Verdict] = []
    engine = ScriptedEngine(lambda shard: [result_of(run, name) for name in names_of(shard)])
    driver_of(DriverFolder(run), store, engine, verdicts).run([Shard("0", "", 0, 2)])
    assert [("a", "refused"), ("b", "trained")] == [(verdict.series, verdict.status) for verdict in verdicts]
    assert ["b"] == store.series()


def test_runs_that_nobody_has_continued_for_a_week_are_removed(run: RunFolder, store: ModelStore) -> None:
    """And what an interrupted removal has left; a run in which something happens stays."""
    old = RunFolder(store.root, "old/token")
    for folder in (old, RunFolder(store.root, "removed-token")):
        folder.create()
    for path in (old.path.parent, *old.path.parent.rglob("*")):
        os.utime(path, (0, 0))
    remove_abandoned(store.root)
    assert [run.path] == list(run.path.parent.iterdir())


def test_the_run_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(store: ModelStore) -> None:
    """Nobody continues a run within one process, and its models would fill the disk for a week."""
    living, killed, begun = (RunFolder(store.root, f"local-{name}") for name in ("living", "killed", "begun"))
    for folder in (living, killed, begun):
        folder.create()
    for path in (*living.path.rglob("*"), *killed.path.rglob("*"), living.path, killed.path):
        os.utime(path, (time.time() - 700, time.time() - 700))
    with living.held():
        remove_abandoned(store.root)
    assert {living.path, begun.path} == {*living.path.parent.iterdir()}


def test_without_dask_the_remedy_is_named(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a scheduler needs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install 'tidecast\[distributed\]'"):
        DaskEngine("tcp://127.0.0.1:1", run.path, "run", "driver")


def test_only_the_first_results_of_a_task_that_ran_twice_count(run: RunFolder) -> None:
    """The second end returns the first results."""
    first = [result_of(run, "a", seed=1)]
    assert first == run.keep_results("0", first)
    assert first == run.keep_results("0", [result_of(run, "a", seed=2)])
