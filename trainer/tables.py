"""Files as tables: finds them, unpacks them and reads their cells, without asking yet what a column means.

What a file is, its content decides, never its name. CSV cells stay text, so that `007` is still `007` and a
message can quote what stands in the file.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from tidecast.errors import HistoryError
from trainer.delimited import ACCEPTED, read_delimited

ENDINGS = (".csv", ".csv.gz", ".parquet")  # what a directory is searched for
STDIN = "-"

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Table:
    """One file's columns, all of the same length."""

    source: str  # the file as messages name it
    stem: str  # its name without directory and endings
    columns: dict[str, Any]  # stripped name -> pyarrow ChunkedArray; text if the file is CSV
    rows: NDArray[np.int64]  # (rows,) their numbers in the file, from 1; in CSV the header's is 1

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> str:
        """Name a row as a text editor numbers it."""
        return f"row {self.rows[index]} of {self.source}"

    def said(self, column: str, index: int) -> str:
        """The text of a cell."""
        cell = self.columns[column][index]
        try:
            return str(cell.as_py())
        except (ValueError, OverflowError):  # a time that Python cannot hold
            return str(pc.cast(cell, pa.int64()).as_py())

    def cell(self, column: str, index: int) -> str:
        """Quote a cell, no longer than a line bears."""
        said = self.said(column, index)
        return repr(said[:40]) + ("…" if len(said) > 40 else "")


def read_tables(sources: Sequence[str | Path]) -> Iterator[Table]:
    """Read every file that `sources` names; a directory stands for the tables in it, `-` for standard input.

    Raises:
        HistoryError: a source is missing, is no table or is damaged.
    """
    if not sources:
        raise HistoryError(f"no history was named: {ACCEPTED}, a directory of them, or - for standard input")
    # A file that is named twice, or beside its directory, is still one file.
    for path in dict.fromkeys(path for source in sources for path in _files(Path(source))):
        if str(path) == STDIN:
            yield _table("standard input", "stdin", sys.stdin.buffer.read())
        else:
            yield _table(_shown(str(path)), _shown(_stem(path)), _content(path))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if _is_table(file.relative_to(path)) and file.is_file()]
    if not found:
        raise HistoryError(f"directory {_shown(str(path))} holds no file ending in {', '.join(ENDINGS)}: name another")
    return found


def _is_table(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.name.lower().endswith(ENDINGS)


def _stem(path: Path) -> str:
    name = path.name
    for ending in (".gz", ".csv", ".parquet"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise HistoryError(f"{_shown(str(path))} does not exist: check the path") from exc
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise HistoryError(f"{_shown(str(path))} cannot be read ({why}): check the path and its permissions") from exc


def _shown(name: str) -> str:
    """A file name as text that can be printed, also when its bytes are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _table(source: str, stem: str, data: bytes) -> Table:
    data = _unpacked(source, data)
    if not data.strip():
        raise HistoryError(f"{source} is empty: it needs a header and rows")
    if data.startswith(_PARQUET):
        names, columns = _parquet(source, data)
        rows = np.arange(1, 1 + max(map(len, columns), default=0))
    else:
        names, columns, rows = read_delimited(source, data)
    table = Table(source, stem, _named(source, names, columns), rows)
    if not len(table):
        raise HistoryError(f"{source} has columns but no row: append readings or leave it out")
    return table


def _unpacked(source: str, data: bytes) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, OSError) as exc:
        raise HistoryError(f"{source} is a damaged gzip file ({exc}): copy or compress it again") from exc


def _parquet(source: str, data: bytes) -> tuple[list[str], list[Any]]:
    try:
        table = pyarrow.parquet.read_table(pa.BufferReader(data))
        table.validate(full=True)
        return table.column_names, [_plain(column) for column in table.columns]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        why = str(exc).partition("\n")[0][:200]
        raise HistoryError(f"{source} is a damaged Parquet file ({why}): write or copy it again") from exc


def _plain(column: Any) -> Any:
    """Decode dictionary columns and the larger kinds of text."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    wide_text = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return pc.cast(column, pa.string()) if wide_text else column


def _named(source: str, names: Sequence[str], columns: Sequence[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for name, column in zip((name.strip() for name in names), columns, strict=True):
        if name.casefold() in seen and name:
            raise HistoryError(f"{source} has the column {name!r} twice (as {seen[name.casefold()]!r}): rename one")
        seen[name.casefold()] = name
        named.setdefault(name, column)
    if not named:
        raise HistoryError(f"{source} has no column: it needs times and values")
    return named
