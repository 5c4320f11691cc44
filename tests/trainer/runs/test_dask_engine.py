"""The engine of Dask, when the scheduler ends at the worst moment."""

from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from tidecast.errors import StoreError
from trainer.runs.dask_engine import DaskEngine
from trainer.runs.engine import Done
from trainer.runs.shard import Shard

SHARD = Shard("id", "part", 0, 1)


class Future:
    """A task that has finished, whose result raises an error unless it is None.

    Args:
        error: the error.
        status: of the future after that.
    """

    def __init__(self, error: Exception | None = None, status: str = "finished") -> None:
        self.status = "finished"
        self._error = error
        self._later = status

    def result(self) -> list[dict[str, Any]]:
        """Return no results."""
        self.status = self._later
        if self._error:
            raise self._error
        return []

    def release(self) -> None:
        """Do nothing."""


class Client:
    """A connection to a scheduler; each task that is submitted is the next of some futures."""

    def __init__(self, futures: list[Future]) -> None:
        self._futures = futures

    def submit(self, *_: object, **__: object) -> Future:
        """Return the next future."""
        return self._futures.pop(0)

    def close(self, timeout: float) -> None:
        """Do nothing."""

    def scheduler_info(self) -> dict[str, list[str]]:
        """Return one worker."""
        return {"workers": ["one"]}


class Ended(list[Future]):
    """The futures that have ended."""

    def add(self, future: Future) -> None:
        """Add one that has ended."""
        self.append(future)


def engine_of(monkeypatch: pytest.MonkeyPatch, *futures: Future) -> DaskEngine:
    """Return an engine whose tasks become these futures, over as many connections as it needs."""
    left = list(futures)

    def connect(engine: DaskEngine) -> None:
        engine._client = Client(left)
        engine._ended = Ended()

    monkeypatch.setattr(DaskEngine, "_connect", connect)
    return DaskEngine("tcp://nowhere", Path(), "run", "driver")


@pytest.mark.parametrize("error", [CancelledError(), OSError("connection closed")])
def test_a_scheduler_that_ends_before_it_has_passed_a_result_on_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The task had finished, and its result was still to be fetched: the shard is submitted again."""
    engine = engine_of(monkeypatch, Future(error, "cancelled"), Future())
    engine.submit(SHARD)
    assert [Done(SHARD, [])] == list(engine.completed())


def test_a_result_that_cannot_be_read_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shard would otherwise be submitted for ever."""
    engine = engine_of(monkeypatch, Future(TypeError("not of this version")), Future())
    engine.submit(SHARD)
    with pytest.raises(TypeError, match="not of this version"):
        list(engine.completed())


def test_the_error_of_a_task_that_was_repeated_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that a dead worker took along is made again when it is fetched, and that may fail."""
    engine = engine_of(monkeypatch, Future(ValueError("no luck"), "error"))
    engine.submit(SHARD)
    assert [Done(SHARD, None, "ValueError: no luck")] == list(engine.completed())
    engine = engine_of(monkeypatch, Future(StoreError("no store"), "error"))
    engine.submit(SHARD)
    with pytest.raises(StoreError, match="no store"):
        list(engine.completed())
