"""Find the files of a directory, and read the names of series from the names of folders such as `series=pump`."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import numpy as np

from tidecast.arrays import Bools, Int64
from tidecast.errors import HistoryError
from tidecast.files.typed import Foreign

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")  # files in a directory with these endings are read
_NO_NAME = "__HIVE_DEFAULT_PARTITION__"
_NUMBER_OR_DATE = re.compile(r"[\d:T-]*")


def files_of(source: Path) -> tuple[list[Path], str | None]:
    """Return the files of a directory, with a note on other files; or the source itself if it is not a directory.

    Linked folders are read too, each once. Hidden files and folders are not.

    Raises:
        HistoryError: no file has one of the `ENDINGS`, or a folder cannot be read.
    """
    if not source.is_dir():
        return [source], None
    name = printable(str(source))
    found = sorted(_files(source))
    files = [path for path in found if path.name.lower().endswith(ENDINGS)]
    if not files:
        raise HistoryError(f"directory {name} holds no file ending in {', '.join(ENDINGS)}: name another")
    others = [printable(str(path.relative_to(source))) for path in found if not path.name.lower().endswith(ENDINGS)]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return files, f"{name}: not read because of their endings: {', '.join(others[:3])}{more}" if others else None


def folder_names(path: Path) -> dict[str, str]:
    """Return the value of each `column=value` in the folders of a path, as other programs partition data."""
    parts = (part.partition("=") for part in path.parts[:-1] if "=" in part)
    return {unquote(column): "" if value == _NO_NAME else unquote(value) for column, _, value in parts}


def distinguishing_folder(paths: Iterable[str]) -> str | None:
    """Return the column whose names differ between the folders of files, unless they are numbers or dates."""
    columns = [folder_names(Path(path)) for path in paths]
    for column in columns[0]:
        names = {each.get(column, "") for each in columns}
        if len(names) > 1 and not all(map(_NUMBER_OR_DATE.fullmatch, names)):
            return column
    return None


def printable(name: str) -> str:
    """Return a file name as printable text, even if its bytes are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


class FolderName(Foreign):
    """A column from the name of a folder, with the same text in each row: it can only name the series."""

    holds_names = True

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, "the name of a folder")
        self._name = name

    def text(self, row: int) -> str:  # noqa: ARG002 - as in every column
        """Return the name."""
        return self._name

    def take(self, rows: Int64) -> "FolderName":
        """Return a column with some of the rows."""
        return FolderName(len(rows), self._name)

    def missing(self) -> Bools:
        """Mark all rows if the folder has no name."""
        return np.full(len(self), not self._name)

    def names(self) -> Sequence[str]:
        """Return the name for each row."""
        return [self._name] * len(self)


def _files(source: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, names in os.walk(source, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link leads back here
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(place, name) for name in names if not name.startswith("."))
        # Reading a link to nothing is an error. Pipes and devices are left out.
        yield from (path for path in paths if path.is_file() or not path.exists())


def _refuse(exc: OSError) -> NoReturn:
    folder = printable(str(exc.filename))
    raise HistoryError(f"directory {folder} cannot be read ({exc.strerror}): grant the right to read it") from exc
