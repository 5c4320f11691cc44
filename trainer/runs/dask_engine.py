"""The engine that carries out shards on the workers of a scheduler of Dask (`distributed`).

Dask gets the id of the run and that of a shard, and returns verdicts. Histories and models pass through the store. Dask
may run a task twice, and loses all tasks with its scheduler: then the shards that have not ended are submitted again.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from tidecast.errors import SettingsError, StoreError, TidecastError
from trainer.runs.engine import Done
from trainer.runs.remote_task import run_shard
from trainer.runs.results import SeriesResult
from trainer.runs.shard import Shard

CONNECT_S = 30.0  # how long the first connection may take
LOST_S = 600.0  # how long a scheduler may be away during a run

_log = structlog.get_logger("tidecast.train")


class DaskEngine:
    """Carries out shards on the workers of a scheduler; it is a context manager.

    Args:
        address: of the scheduler, `tcp://host:port` or `tls://host:port`.
        store: the directory of the store, at the same place on all machines.
        run: the id of the run.
        driver: the token of the driver, a part of the tasks' keys: a former driver's tasks have other keys.
        bucket: the address of the bucket through which files pass; empty: all machines share the store.
        collect: called with the results of each shard, to read their files.

    Raises:
        SettingsError: the extra `distributed` is not installed, or the scheduler cannot be reached.
    """

    def __init__(
        self,
        address: str,
        store: Path,
        run: str,
        driver: str,
        *,
        bucket: str = "",
        collect: Callable[[list[SeriesResult]], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._store = str(store.absolute())
        self._run = run
        self._group = f"tidecast-{run}-{driver}"
        self._bucket = bucket
        self._collect = collect
        self._numbers = count()
        self._shards: dict[Any, Shard] = {}  # by future: those that have not ended
        try:
            self._connect()
        except (OSError, ValueError, TypeError) as exc:
            raise SettingsError(f"the scheduler {address} cannot be reached ({exc}): start or correct it") from exc
        if not self._client.scheduler_info()["workers"]:
            _log.warning("no worker", scheduler=address, remedy=f"start some: dask worker {address}")

    def submit(self, shard: Shard) -> None:
        """Add a shard."""
        # Keys with a common first part are one group of tasks: the scheduler keeps those that no worker can begin, so
        # that the death of a worker does not count as a failure of tasks that only waited for it.
        key = (self._group, f"{shard.id}-{next(self._numbers)}")
        task = (self._store, self._run, shard.as_dict(), self._bucket)
        future = self._client.submit(run_shard, *task, key=key, pure=False)
        self._shards[future] = shard
        self._ended.add(future)

    def completed(self) -> Iterator[Done]:
        """Yield each shard's end, in the order of time.

        Raises:
            StoreError, SettingsError: a worker cannot use the store, or has another version of Tidecast.
            TidecastError: the scheduler does not come back in time.
        """
        while self._shards:
            for future in self._ended:
                if future not in self._shards:
                    continue
                if future.status not in ("finished", "error"):
                    self._connect_again()
                    break
                done = self._fetch(future)
                if done is None:
                    self._connect_again()
                    break
                del self._shards[future]
                yield done
                future.release()

    def cancel(self) -> None:
        """Cancel the shards that have not ended; a task that runs goes on to its end without effect."""
        futures = list(self._shards)
        self._shards.clear()
        self._client.cancel(futures)

    def close(self) -> None:
        """Close the connection; the scheduler then drops what has not begun."""
        self._client.close(timeout=CONNECT_S)

    def _fetch(self, future: Any) -> Done | None:
        """Return the end of a shard; None if the scheduler was lost before it passed the results on."""
        shard = self._shards[future]
        try:
            fields = future.result()
        except Exception as exc:
            if future.status == "error":
                return Done(shard, None, _failure(exc))
            if isinstance(exc, CancelledError | OSError):
                return None
            raise  # a result that cannot be read: the next attempt could not read it either
        results = [SeriesResult.from_dict(each) for each in fields]
        self._collect(results)
        return Done(shard, results)

    def _connect(self) -> None:
        try:
            import distributed
        except ImportError as exc:
            raise SettingsError("a scheduler needs Dask: pip install 'tidecast[distributed]'") from exc
        self._client: Any = distributed.Client(self._address, timeout=CONNECT_S, set_as_default=False, name=self._group)
        self._ended: Any = distributed.as_completed(loop=self._client.loop, raise_errors=False)

    def _connect_again(self) -> None:
        """Connect to the scheduler that replaces a lost one, and submit the shards that have not ended."""
        _log.warning("scheduler lost", scheduler=self._address, shards=len(self._shards), waits_s=LOST_S)
        shards = list(self._shards.values())
        self._shards.clear()
        self._client.close(timeout=CONNECT_S)
        deadline = time.monotonic() + LOST_S
        while True:
            try:
                self._connect()
                break
            except OSError as exc:
                if time.monotonic() > deadline:
                    raise TidecastError(
                        f"the scheduler was away for {LOST_S:.0f} s: start it and its workers, and repeat the command, "
                        "which continues the run"
                    ) from exc
        for shard in shards:
            self.submit(shard)


def _failure(error: BaseException) -> str:
    """Return a sentence about a task's error; raise the error if another attempt would fail too."""
    if isinstance(error, StoreError | SettingsError):
        raise error
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
