"""Engines: they carry out the shards of a run, in this process or elsewhere."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a task: its results, or a sentence about its failure."""

    shard: Shard
    results: list[SeriesResult] | None
    failure: str = ""


class TrainingEngine(Protocol):
    """Carries out shards. It may carry out one twice, and it may go on with one after `cancel`."""

    def submit(self, shard: Shard) -> None:
        """Add a shard; also during `completed`."""

    def completed(self) -> Iterator[Done]:
        """Yield the end of each submitted shard, until all have ended."""

    def cancel(self) -> None:
        """Forget the shards that have not ended."""


class LocalEngine:
    """Carries out shards one after the other in this process; an error of one ends the run.

    Args:
        work: trains the series of a shard.
    """

    def __init__(self, work: Callable[[Shard], list[SeriesResult]]) -> None:
        self._work = work
        self._waiting: deque[Shard] = deque()

    def submit(self, shard: Shard) -> None:
        """Add a shard."""
        self._waiting.append(shard)

    def completed(self) -> Iterator[Done]:
        """Yield each shard's end as soon as it is trained."""
        while self._waiting:
            shard = self._waiting.popleft()
            yield Done(shard, self._work(shard))

    def cancel(self) -> None:
        """Forget the shards that have not begun."""
        self._waiting.clear()
