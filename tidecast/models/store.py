"""The model store: versions of every series' model on disk, and a pointer to the champion.

    <root>/series/<sha256 of the name>/series.json        the name itself, and former ones
                                       000001.safetensors  a version, never changed once written
                                       champion            the version in use; `published` if the gate chose it
    <root>/moves.log                                       one line for each move of a pointer, see `moves_log.py`
    <root>/deleted-<sha256 of a name>/                     only while a series is being deleted
    <root>/runs/<run>/                                     only during a training, see `trainer/runs/folder.py`
    <root>/runs.log                                        of trainings on a scheduler, see `training_runs.py`
    <root>/shared/                                         the same for the networks that cohorts share

A series name is never part of a path, because it may hold any character.
"""

import contextlib
import fnmatch
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path

from tidecast.durable import is_written, replace, sync, write_new
from tidecast.errors import ModelError, StoreError
from tidecast.models.model import Champion, Header, Model, Models
from tidecast.models.storage import model_file
from tidecast.models.storage.file_names import (
    VERSIONS,
    Pointer,
    add_version,
    content_of,
    has_files,
    name_in,
    names_in,
    version_file,
    version_number,
)
from tidecast.models.storage.moves_log import Ending, MovesLog
from tidecast.suggestions import most_similar


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a series' model, as listed by the store."""

    series: str
    number: int
    champion: bool
    header: Header


class ModelStore:
    """A directory of models, safe for many writers and readers on one machine."""

    def __init__(self, root: Path) -> None:
        if any(map(os.path.isfile, (root, *root.parents))):
            raise StoreError(f"the store {root} is a file, or within one: name a directory")
        self.root = root
        self._moves = MovesLog(root / "moves.log")
        self._series = root / "series"

    @property
    def shared(self) -> "ModelStore":
        """Return the store of the networks that cohorts share, by the cohort's name."""
        return ModelStore(self.root / "shared")

    def cohort_network(self, cohort: str | None) -> Model | None:
        """Return the network of a cohort; None if it does not exist or cannot be read."""
        if cohort is None or self.shared.champion(cohort) is None:
            return None
        try:
            return self.shared.load(cohort)[1]
        except ModelError:
            return None

    def series(self) -> list[str]:
        """Return every series that has at least one version, sorted by name."""
        return sorted(name_in(folder) for folder, _ in self._folders())

    def served(self) -> list[str]:
        """Return every series that has a champion, sorted by name."""
        try:
            folders = os.scandir(self._series)
        except FileNotFoundError:
            return []
        with folders:
            return sorted(
                name_in(folder.path) for folder in folders if has_files(folder.path, "series.json", "champion")
            )

    def publish(self, model: Model, *, promote: bool = True) -> int:
        """Add a version durably and, with `promote`, make it champion; return its number.

        Raises:
            ModelError: the model is not valid.
            StoreError: the store cannot be written.
        """
        content = model_file.encode(model)  # before the first write: it may raise
        folder = self.folder(model.header.series)
        with self.writing():
            folder.mkdir(parents=True, exist_ok=True)
            file = write_new(folder, content)
        number = self.add(model.header.series, file)
        if promote:
            self.promote(model.header.series, number, published=True)
        return number

    def add(self, series: str, file: Path) -> int:
        """Add a finished file of the store's file system as a version, and remove its former name.

        Args:
            series: the series.
            file: an encoded model.

        Raises:
            StoreError: the store cannot be written, or the file does not exist.
        """
        folder = self.folder(series)
        with self.writing():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if not (folder / "series.json").exists():
                    replace(folder / "series.json", json.dumps({"series": series}).encode())
                return add_version(folder, file)
            finally:
                file.unlink(missing_ok=True)

    def adopt(self, series: str, versions: Mapping[int, bytes], pointer: Pointer, former: Sequence[str] = ()) -> None:
        """Take over versions from a copy of the store, and its champion.

        Args:
            series: the series.
            versions: the content of those that this store lacks, by number; all were champions.
            pointer: of the copy.
            former: names that the series had before.

        Raises:
            StoreError: the store cannot be written.
        """
        folder = self.folder(series)
        with self.writing():
            folder.mkdir(parents=True, exist_ok=True)
            replace(folder / "series.json", json.dumps({"series": series, "former": list(former)}).encode())
            for number, content in versions.items():
                replace(folder / version_file(number), content)
            self._moves.append(*((series, number) for number in sorted(versions) if number != pointer.version))
        self.promote(series, pointer.version, published=pointer.published)

    def version_with(self, series: str, digest: str) -> int | None:
        """Return the newest version of a series whose file has this SHA-256, None without one."""
        folder = self.folder(series)
        for number in reversed(self.versions(series)):
            if hashlib.sha256((folder / version_file(number)).read_bytes()).hexdigest() == digest:
                return number
        return None

    def former_names(self, series: str) -> list[str]:
        """Return the names that a series of the store had before, oldest first."""
        try:
            former: list[str] = names_in(self.folder(series)).get("former", [])
        except FileNotFoundError:
            return []
        return former

    def versions(self, series: str) -> list[int]:
        """Return the numbers of a series' versions, oldest first; empty for an unknown series."""
        files = self.folder(series).glob(VERSIONS)
        return sorted(version_number(file) for file in files if is_written(file))

    def champion(self, series: str) -> int | None:
        """Return the champion's version of a series, None without a champion.

        Raises:
            StoreError: the pointer is damaged.
        """
        pointer = self.pointer(series)
        return pointer.version if pointer else None

    def pointer(self, series: str) -> Pointer | None:
        """Return the champion's version of a series and how it became champion; None without a champion.

        Raises:
            StoreError: the pointer is damaged.
        """
        path = f"{self._place(series)}/champion"
        try:
            return Pointer.decode(content_of(path))
        except FileNotFoundError:
            return None
        except ValueError as exc:
            raise StoreError(f"{path} holds no version's number: promote one of the series' versions") from exc

    def promote(self, series: str, number: int, *, published: bool = False, through: Path | None = None) -> None:
        """Make a version the champion.

        Args:
            series: the series.
            number: the version.
            published: whether it is new, and a shadow test follows.
            through: a folder of the store's file system in which the pointer is prepared. A process that removes it
                prevents the move. None: the series' folder.

        Raises:
            StoreError: the version does not exist, or the store cannot be written.
        """
        folder = self.folder(series)
        if not is_written(folder / version_file(number)):
            known = ", ".join(map(str, self.versions(series))) or "none"
            raise StoreError(f"series {series!r} has no version {number}; it has {known}: name one of those")
        with self.writing():
            replace(folder / "champion", Pointer(number, published).encode(), through)
            self._moves.append((series, number))

    def rollback(self, series: str) -> int:
        """Switch back to the previous champion; return its number.

        Raises:
            StoreError: there was no earlier champion, or it was pruned.
        """
        previous = self.previous(series)
        if previous is None:
            champion = self.champion(series)
            of = f"before version {champion}" if champion else "at all"
            raise StoreError(f"series {series!r} had no champion {of}: see `tidecast models list`, and promote one")
        self.promote(series, previous)
        return previous

    def previous(self, series: str) -> int | None:
        """Return the version to roll back to: the newest before the champion that was one itself; None without one."""
        champion = self.champion(series) or 0
        promoted = self._moves.promoted(series)
        return max(
            (number for number in self.versions(series) if number < champion and number in promoted), default=None
        )

    def prune(self, series: str, keep: int) -> list[int]:
        """Delete all but the `keep` (>= 1) newest versions, the champion and the previous one; return the deleted."""
        versions = self.versions(series)
        spared = {self.champion(series), self.previous(series), *versions[-keep:]}
        gone = [number for number in versions if number not in spared]
        for number in gone:
            (self.folder(series) / version_file(number)).unlink()
        return gone

    def delete(self, series: str) -> bool:
        """Delete all versions of a series; return whether there were any. A repeated call completes an interrupted one.

        Raises:
            StoreError: the store cannot be written.
        """
        folder = self.folder(series)
        doomed = self.root / f"deleted-{folder.name}"
        existed = folder.exists()
        with self.writing():
            shutil.rmtree(doomed, ignore_errors=True)
            if existed:
                folder.rename(doomed)
                sync(self._series)
            if self.root.exists():
                self._moves.append((series, None))
            shutil.rmtree(doomed, ignore_errors=True)
        return existed

    def rename(self, old: str, new: str, *, replacing: bool = False) -> bool:
        """Give all versions of a series to a new name; return whether there were any.

        A repeated call completes an interrupted one. The files of the versions keep the old name, which `series.json`
        lists as a former one.

        Args:
            old: the present name.
            new: the new one.
            replacing: whether versions of the new name are deleted.

        Raises:
            StoreError: the new name has versions already, or the store cannot be written.
        """
        source = self.folder(old)
        target = self.folder(new)
        existed = source.exists()
        if existed and self.versions(new):
            if not replacing:
                raise StoreError(f"the store {self.root} has models of {new!r} already: delete that series first")
            self.delete(new)
        with self.writing():
            if existed:
                names = {"series": new, "former": list(dict.fromkeys([*self.former_names(old), old]))}
                replace(source / "series.json", json.dumps(names).encode())
                shutil.rmtree(target, ignore_errors=True)  # it has no version
                source.rename(target)
                sync(self._series)
            if self.root.exists():
                champion = self.champion(new)
                promoted = [number for number in self._moves.promoted(old) if number != champion]
                if champion is not None:
                    self._moves.append(*((new, number) for number in [*promoted, champion]))
                self._moves.append((old, None), new=new)
        return existed

    def load(self, series: str, number: int | None = None) -> tuple[int, Model]:
        """Read a version, by default the champion, as (number, model).

        Raises:
            StoreError: the series has no such version, or no champion.
            ModelError: the file is damaged.
        """
        number = self.champion(series) if number is None else number
        if number is None:
            similar = None if self.versions(series) else most_similar(series, self.series())
            remedy = f"did you mean {similar!r}?" if similar else "train it first"
            raise StoreError(f"series {series!r} has no champion in {self.root}: {remedy}")
        path = f"{self._place(series)}/{version_file(number)}"
        try:
            model = model_file.load(path)
        except ModelError as exc:
            if Path(path).exists():
                raise
            raise StoreError(f"series {series!r} has no version {number}: see `tidecast models list`") from exc
        owner = model.header.series
        if owner == series:
            return number, model
        if owner not in self.former_names(series):
            raise StoreError(f"{path} belongs to {owner!r}, not to {series!r}: restore the right file")
        return number, with_changes(model, header=model.header.model_copy(update={"series": series}))

    def load_together(self, series: Iterable[str]) -> Iterator[tuple[list[Champion], Models]]:
        """Read the champions of many series, and yield those of each shape.

        A series whose champion is absent, damaged or of a former name is left out: `pointer` and `load` find out why.
        """
        champions = {}
        for name in series:
            with contextlib.suppress(StoreError, OSError):
                if pointer := self.pointer(name):
                    champions[name] = Champion(name, *pointer)
        paths = {name: f"{self._place(name)}/{version_file(its.version)}" for name, its in champions.items()}
        for names, models in model_file.load_together(paths):
            yield [champions[name] for name in names], models

    def header(self, series: str, number: int) -> Header:
        """Return the header of a version, without its weights.

        Raises:
            ModelError: the file does not exist, or is damaged.
        """
        return model_file.load_header(self.folder(series) / version_file(number))

    def describe(self, series: str | None = None) -> Iterator[Version]:
        """Yield every version of one series or of all, by name and number."""
        for name in self.series() if series is None else [series]:
            champion = self.champion(name)
            for number in self.versions(name):
                header = model_file.load_header(self.folder(name) / version_file(number))
                yield Version(name, number, number == champion, header)

    def moves_since(self, position: int) -> tuple[int, list[str]]:
        """Return the series whose pointers moved after byte `position` of the log: (new position, names).

        All series with a champion are returned at `position` 0, after a damaged line, and if the log has become
        shorter. In these cases the log is not complete: a crash may have come between a pointer's move and its line.
        """
        position, names = self._moves.since(position)
        return position, self.served() if names is None else names

    def endings(self) -> list[Ending]:
        """Return the series that were deleted or renamed, oldest first."""
        return self._moves.endings()

    def folder(self, series: str) -> Path:
        """Return the folder of a series, whether or not it exists."""
        return Path(self._place(series))

    def _place(self, series: str) -> str:
        """Return the folder of a series as text: paths are slow to build, and a worker loads thousands of models."""
        return f"{self._series}/{hashlib.sha256(series.encode()).hexdigest()}"

    def _folders(self) -> Iterator[tuple[Path, list[str]]]:
        """Yield the folder of every series that has a version, and the names of its files."""
        for folder in self._series.glob("*/"):
            files = [entry.name for entry in os.scandir(folder)]
            versions = fnmatch.filter(files, VERSIONS)
            # A champion is a complete file; without one, the only version may be a reserved name without content.
            written = "champion" in files or any(is_written(folder / name) for name in versions)
            if "series.json" in files and versions and written:
                yield folder, files

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Raise StoreError with a remedy if the store cannot be written."""
        try:
            yield
        except OSError as exc:
            reason = exc.strerror or str(exc)
            remedy = "let this user write there, and see that its disk has room"
            raise StoreError(f"the store {self.root} cannot be written ({reason}): {remedy}") from exc
