"""Read files as tables: find them, decompress them and split them into columns.

The format of a file is detected from its content, never from its name. `layout.py` determines the columns' meanings.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tidecast.arrays import Int64
from tidecast.errors import HistoryError
from tidecast.files.columns import Column
from tidecast.files.delimited import ACCEPTED, read_delimited
from tidecast.files.folders import FolderName, files_of, folder_names, printable
from tidecast.files.parquet import MAGIC, read_parquet

STDIN = "-"

GZIP = b"\x1f\x8b"
_INVISIBLE = "\ufeff\u200b"  # byte-order mark, zero-width space


@dataclass(frozen=True, slots=True)
class Table:
    """One file's columns, all of the same length."""

    source: str  # the name of the file in messages
    stem: str  # its name without directory and endings
    columns: dict[str, Column]  # by name, with single blanks as white space
    rows: Int64  # (rows,) row numbers in the file, from 1; in CSV the header is row 1
    notes: tuple[str, ...] = ()  # on the files that were not read

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> str:
        """Return a row's name for messages, with its number in the file."""
        return f"row {self.rows[index]} of {self.source}"

    def text(self, column: str, index: int) -> str:
        """Return the text of a cell."""
        return self.columns[column].text(index)

    def cell(self, column: str, index: int) -> str:
        """Return a cell in quotes, shortened for messages."""
        text = self.text(column, index)
        return repr(text[:40]) + ("…" if len(text) > 40 else "")

    def take(self, rows: Int64) -> "Table":
        """Return a table with some of the rows."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Table(self.source, self.stem, columns, self.rows[rows])


def read_tables(sources: Sequence[str | Path]) -> Iterator[Table]:
    """Yield the table of every file in `sources`; a directory stands for its files, `-` for standard input.

    Raises:
        HistoryError: a source is missing, is not a table or is damaged.
    """
    if not sources:
        raise HistoryError(f"no history was named: {ACCEPTED}, a directory of them, or - for standard input")
    if "" in sources:  # it would stand for the present directory
        raise HistoryError("the name of a history is empty: name a file, or . for the present directory")
    found = [files_of(Path(source)) for source in sources]
    notes = tuple(note for _, note in found if note)
    # A file that is named twice, or together with its directory, is read once.
    for path in dict.fromkeys(path for paths, _ in found for path in paths):
        if str(path) == STDIN:
            table = table_of("standard input", "stdin", sys.stdin.buffer.read())
        else:
            table = _with_folders(table_of(printable(str(path)), stem_of(path), _content(path)), path)
        yield replace(table, notes=notes)
        notes = ()


def stem_of(path: Path) -> str:
    """Return a file's name without its endings, as printable text."""
    name = path.name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".parquet"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return printable(name)


def table_of(source: str, stem: str, data: bytes) -> Table:
    """Return the table in the content of a file.

    Raises:
        HistoryError: the content is not a table, is damaged or has no rows.
    """
    data = _unpacked(source, data)
    if not data or data.isspace():
        raise HistoryError(f"{source} is empty: it needs a header and rows")
    if data.startswith(MAGIC):
        columns = named(source, *read_parquet(source, data))
        numbers: Int64 = np.arange(1, 1 + max(map(len, columns.values()), default=0))
    else:
        rows = read_delimited(source, data)
        columns = named(source, rows.names, rows.columns)
        numbers = rows.numbers
    table = Table(source, stem, columns, numbers)
    if not len(table):
        raise HistoryError(f"{source} has columns but no row: append readings or leave it out")
    return table


def named(source: str, names: Sequence[str], columns: Sequence[Column]) -> dict[str, Column]:
    """Return the columns by name; only the first column without a name is kept.

    Raises:
        HistoryError: two columns have the same name, or the file has no columns.
    """
    by_name: dict[str, Column] = {}
    written: dict[str, str] = {}
    for name, column in zip(map(plain_name, names), columns, strict=True):
        if name and name.casefold() in written:
            raise HistoryError(f"{source} has the column {name!r} twice (as {written[name.casefold()]!r}): rename one")
        written[name.casefold()] = name
        by_name.setdefault(name, column)
    if not by_name:
        raise HistoryError(f"{source} has no column: it needs times and values")
    return by_name


def plain_name(name: str) -> str:
    """Return a column's name without invisible characters, with single blanks as white space."""
    return " ".join(name.translate(dict.fromkeys(map(ord, _INVISIBLE))).split())


def _with_folders(table: Table, path: Path) -> Table:
    """Return a table with the columns in the names of the file's folders; columns in the file count first."""
    present = {name.casefold() for name in table.columns}
    further = {plain_name(column): FolderName(len(table), name) for column, name in folder_names(path).items()}
    absent = {column: names for column, names in further.items() if column.casefold() not in present}
    return replace(table, columns={**table.columns, **absent})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise HistoryError(f"{printable(str(path))} does not exist: check the path") from exc
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise HistoryError(
            f"{printable(str(path))} cannot be read ({why}): check the path and its permissions"
        ) from exc


def _unpacked(source: str, data: bytes) -> bytes:
    if not data.startswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, OSError) as exc:
        raise HistoryError(f"{source} is a damaged gzip file ({exc}): copy or compress it again") from exc
