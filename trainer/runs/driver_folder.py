"""The driver's own folder within that of its run: the journal, and the fence against former drivers.

    <run>/driver-<token>/journal     a JSON object for each settled, halved or abandoned shard
                         <digest>    a model while it is being published
                         .new-…      a pointer while it is being moved
    <run>/former-<token>/            of a former driver, until its successor has read it

All that a driver publishes passes through its folder: a model's file and a champion's pointer are renamed or linked
from there to their places. A new driver first renames the folders of all former ones. From then on each step of theirs
fails in the file system itself, even one that had been decided before. A token never recurs.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidecast.durable import sync
from tidecast.errors import StoreError, TidecastError
from tidecast.models.store import ModelStore
from trainer.runs.folder import RunFolder
from trainer.runs.results import SeriesResult

JOURNAL = "journal"


class RunTakenOver(TidecastError):  # noqa: N818 - it names the event
    """Another process continues the run, or has finished it: this one may publish nothing more."""


class DriverFolder:
    """The folder of the present driver of a run.

    Args:
        run: the folder of the run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.token = os.urandom(8).hex()
        self.path = run.path / f"driver-{self.token}"
        former = self._fence_off()
        self.former = [line for folder in former for line in _lines(folder / JOURNAL)]
        self.continues = bool(former)
        new = run.path / f"new-{self.token}"
        new.mkdir()
        (new / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in self.former))
        new.rename(self.path)
        for folder in former:
            shutil.rmtree(folder, ignore_errors=True)

    def record(self, line: Mapping[str, Any]) -> None:
        """Append a line to the journal durably.

        Raises:
            RunTakenOver: another process continues the run.
        """
        with self.fenced(), (self.path / JOURNAL).open("r+b") as journal:
            journal.seek(0, os.SEEK_END)
            journal.write(json.dumps(line).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())

    def publish(self, series: str, result: SeriesResult, store: ModelStore) -> int:
        """Add a model's file to the store as a version, promote it if it is better, and return its number.

        If a former driver has done so already, nothing happens.

        Args:
            series: the series, or the cohort.
            result: of its training, with a file.
            store: of the series, or of the cohorts.

        Raises:
            RunTakenOver: another process continues the run.
            StoreError: the store cannot be written.
        """
        assert result.digest  # noqa: S101 - the caller's promise
        number = store.version_with(series, result.digest) if self.continues else None
        with self.fenced():
            if number is None:
                mine = self.path / result.digest
                self._run.file(result.digest).rename(mine)
                number = store.add(series, mine)
            if result.promote and store.champion(series) != number:
                store.promote(series, number, published=True, through=self.path)
        return number

    def _fence_off(self) -> list[Path]:
        """Rename the folders of former drivers, take back the files that they were publishing; return the folders."""
        for folder in self._run.path.glob("driver-*"):
            folder.rename(self._run.path / folder.name.replace("driver", "former"))
        sync(self._run.path)
        former = sorted(self._run.path.glob("former-*"))
        for folder in former:
            for file in folder.iterdir():
                if file.name != JOURNAL and not file.name.startswith("."):
                    file.rename(self._run.file(file.name))
        return former

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """Raise RunTakenOver if a step fails and the folder is gone."""
        try:
            yield
        except (StoreError, OSError) as exc:
            if self.path.exists():
                raise
            raise RunTakenOver(
                f"another process has continued the training run {self._run.run}: see its result"
            ) from exc


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal; a last line that is not complete does not count."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().rpartition(b"\n")[0].splitlines()]
