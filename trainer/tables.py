"""Files as tables: finds them, unpacks them and reads their cells, without asking yet what a column means.

What a file is, its content decides, never its name. CSV cells stay text, so that `007` is still `007` and a
message can quote what stands in the file.
"""

import csv
import gzip
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tidecast.errors import HistoryError

ENDINGS = (".csv", ".csv.gz", ".parquet")  # what a directory is searched for
STDIN = "-"
ACCEPTED = "give CSV (gzip too) or Parquet"

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_FOREIGN = {b"PK\x03\x04": "a ZIP or Excel file", b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text"}
_NEWLINE = re.compile(rb"\r\n?|\n")


@dataclass(frozen=True, slots=True)
class Table:
    """One file's columns, all of the same length."""

    source: str  # the file as messages name it
    stem: str  # its name without directory and endings
    columns: dict[str, Any]  # stripped name -> pyarrow ChunkedArray; text if the file is CSV
    header: int  # lines before the first row: 1 in CSV, 0 in Parquet
    rows: NDArray[np.int64]  # where each row stands in the file, from 0; blank ones are left out

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> str:
        """Name a row as a text editor numbers it: the header is row 1, a quoted line break counts."""
        within = sum(_line_breaks(column.slice(0, index)) for column in self.columns.values()) if self.header else 0
        return f"row {self.rows[index] + 1 + self.header + within} of {self.source}"

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
        columns, header = _parquet(source, data), 0
    else:
        columns, header = _csv(source, data), 1
    rows = np.flatnonzero(~_blank(columns)) if header else np.arange(len(next(iter(columns.values()))))
    if header and len(rows) < len(next(iter(columns.values()))):
        columns = {name: column.take(pa.array(rows)) for name, column in columns.items()}
    table = Table(source, stem, columns, header, rows)
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


def _parquet(source: str, data: bytes) -> dict[str, Any]:
    try:
        table = pyarrow.parquet.read_table(pa.BufferReader(data))
        table.validate(full=True)
    except (pa.ArrowException, OSError) as exc:
        raise HistoryError(f"{source} is a damaged Parquet file ({_first_line(exc)}): write or copy it again") from exc
    return _named(source, table.column_names, [_plain(column) for column in table.columns])


def _plain(column: Any) -> Any:
    """Decode dictionary columns and the larger kinds of text."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    wide_text = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return pc.cast(column, pa.string()) if wide_text else column


def _csv(source: str, data: bytes) -> dict[str, Any]:
    _check_text(source, data)
    end = _NEWLINE.search(data)
    header = data[: end.start() if end else len(data)].removeprefix(_BOM).decode()
    delimiter = max(",;\t", key=header.count)
    names = _header(source, header, delimiter)
    table = _cells(source, data, delimiter, len(names))
    if table.num_columns != len(names):
        raise HistoryError(f"row 1 of {source} can be split in two ways: remove its quotes")
    return _named(source, names, table.slice(1).columns)


def _header(source: str, line: str, delimiter: str) -> list[str]:
    if line.count('"') % 2:
        raise HistoryError(f"row 1 of {source} opens a quote that nothing closes: close it or remove it")
    try:
        names = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as exc:
        raise HistoryError(f"row 1 of {source} is no header ({exc}): begin the file with column names") from exc
    if not any(name.strip() for name in names):
        raise HistoryError(f"row 1 of {source} is blank: begin the file with column names")
    return names


def _check_text(source: str, data: bytes) -> None:
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise HistoryError(f"{source} is {what}: save it as CSV in UTF-8, or as Parquet")
    if (at := data.find(b"\0")) >= 0:
        raise HistoryError(f"row {_line(data, at)} of {source} holds a NUL byte, so it is no text: {ACCEPTED}")
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        where = f"row {_line(data, exc.start)} of {source}"
        raise HistoryError(f"{where} is not UTF-8 (byte 0x{data[exc.start]:02x}): save it as UTF-8") from exc


def _cells(source: str, data: bytes, delimiter: str, width: int) -> Any:
    ragged: list[Any] = []

    def stop(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One thread, or rows would not be numbered.
            pyarrow.csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=1 << 24),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=stop
            ),
            pyarrow.csv.ConvertOptions(column_types={f"f{i}": pa.string() for i in range(width)}),
        )
    except pa.ArrowException as exc:
        raise HistoryError(_ragged(source, ragged[0]) if ragged else _unreadable(source, exc)) from exc


def _ragged(source: str, row: Any) -> str:
    if row.text.count('"') % 2:
        return f"row {row.number} of {source} opens a quote that nothing closes: close it or remove it"
    fields = f"{row.actual_columns} field{'s' if row.actual_columns > 1 else ''}"
    return f"row {row.number} of {source} has {fields}, the header {row.expected_columns}: write one for each column"


def _unreadable(source: str, exc: Exception) -> str:
    return f"{source} cannot be read as CSV ({_first_line(exc)}): look for an unclosed quote, or save it again"


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


def _blank(columns: dict[str, Any]) -> NDArray[np.bool_]:
    """Mark the rows all of whose cells are empty, such as the lines that spreadsheets leave at the end."""
    cells = iter(columns.values())
    blank: NDArray[np.bool_] = pc.equal(next(cells), "").to_numpy()
    for column in cells:
        if not blank.any():
            break
        blank = blank & pc.equal(column, "").to_numpy()
    return blank


def _line(data: bytes, at: int) -> int:
    return len(_NEWLINE.findall(data, 0, at)) + 1


def _line_breaks(column: Any) -> int:
    return pc.sum(pc.count_substring(column, "\n")).as_py() or 0


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0][:200]
