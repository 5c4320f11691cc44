"""Files as tables: find them, unpack them and split them into columns, without asking yet what a column means.

The content of a file decides what it is, never its name.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tidecast.errors import HistoryError
from tidecast.files.columns import Column, Int64
from tidecast.files.delimited import ACCEPTED, read_delimited
from tidecast.files.parquet import MAGIC, read_parquet

ENDINGS = (".csv", ".csv.gz", ".parquet")  # the files that are read of a directory
STDIN = "-"

GZIP = b"\x1f\x8b"
_INVISIBLE = "\ufeff\u200b"  # a byte-order mark, a space of no width


@dataclass(frozen=True, slots=True)
class Table:
    """One file's columns, all of the same length."""

    source: str  # the file as messages name it
    stem: str  # its name without directory and endings
    columns: dict[str, Column]  # by name, white space within which is single blanks
    rows: Int64  # (rows,) their numbers in the file, from 1; in CSV the header's is 1

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> str:
        """Name a row as a text editor numbers it."""
        return f"row {self.rows[index]} of {self.source}"

    def text(self, column: str, index: int) -> str:
        """Return the text of a cell."""
        return self.columns[column].text(index)

    def cell(self, column: str, index: int) -> str:
        """Quote a cell, cut to what fits into a line."""
        text = self.text(column, index)
        return repr(text[:40]) + ("…" if len(text) > 40 else "")

    def take(self, rows: Int64) -> "Table":
        """Return some of the rows."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Table(self.source, self.stem, columns, self.rows[rows])


def read_tables(sources: Sequence[str | Path]) -> Iterator[Table]:
    """Read every file that `sources` names; a directory stands for the tables in it, `-` for standard input.

    Raises:
        HistoryError: a source is missing, is not a table or is damaged.
    """
    if not sources:
        raise HistoryError(f"no history was named: {ACCEPTED}, a directory of them, or - for standard input")
    # A file that is named twice, or beside its directory, is still one file.
    for path in dict.fromkeys(path for source in sources for path in _files(Path(source))):
        if str(path) == STDIN:
            yield table_of("standard input", "stdin", sys.stdin.buffer.read())
        else:
            yield table_of(printable(str(path)), stem_of(path), _content(path))


def stem_of(path: Path) -> str:
    """Return a file's name without its endings, as text that can be printed."""
    name = path.name
    for ending in (".gz", ".csv", ".parquet"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return printable(name)


def printable(name: str) -> str:
    """Return a file name as text that can be printed, also where its bytes are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def table_of(source: str, stem: str, data: bytes) -> Table:
    """Read the content of a file.

    Raises:
        HistoryError: it is not a table, is damaged or has no row.
    """
    data = _unpacked(source, data)
    if not data or data.isspace():
        raise HistoryError(f"{source} is empty: it needs a header and rows")
    columns: Sequence[Column]
    if data.startswith(MAGIC):
        names, columns = read_parquet(source, data)
        rows = np.arange(1, 1 + max(map(len, columns), default=0))
    else:
        names, columns, rows = read_delimited(source, data)
    table = Table(source, stem, named(source, names, columns), rows)
    if not len(table):
        raise HistoryError(f"{source} has columns but no row: append readings or leave it out")
    return table


def named(source: str, names: Sequence[str], columns: Sequence[Column]) -> dict[str, Column]:
    """Give each column its name; of columns without a name the first is kept.

    Raises:
        HistoryError: two columns have the same name, or the file has no column.
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
    """Return a column's name without invisible characters; any white space within it is one blank."""
    return " ".join(name.translate(dict.fromkeys(map(ord, _INVISIBLE))).split())


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.rglob("*")) if _is_table(file.relative_to(path)) and file.is_file()]
    if not files:
        raise HistoryError(
            f"directory {printable(str(path))} holds no file ending in {', '.join(ENDINGS)}: name another"
        )
    return files


def _is_table(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.name.lower().endswith(ENDINGS)


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
