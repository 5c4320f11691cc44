"""Comma-separated text as columns of text, with the line that each row stands on.

Nothing is converted here: `007` stays `007`, and a message can quote what stands in the file.
"""

import csv
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from tidecast.errors import HistoryError

ACCEPTED = "give CSV (gzip too) or Parquet"
DELIMITERS = ",;\t"  # the one that the header holds most often

_BOM = b"\xef\xbb\xbf"
_FOREIGN = {b"PK\x03\x04": "a ZIP or Excel file", b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text"}
_NEWLINE = re.compile(rb"\r\n?|\n")
_UNCLOSED = "opens a quote that nothing closes: close it or remove it"


def read_delimited(source: str, data: bytes) -> tuple[list[str], list[Any], NDArray[np.int64]]:
    """Read CSV: the columns' names, their cells and each row's line; rows without any content are left out.

    Raises:
        HistoryError: it is no UTF-8 text, or its rows have not all the same number of fields.
    """
    _check_text(source, data)
    end = _NEWLINE.search(data)
    header = data[: end.start() if end else len(data)].removeprefix(_BOM).decode()
    delimiter = max(DELIMITERS, key=header.count)
    names = _header(source, header, delimiter)
    columns = _cells(source, data, delimiter, len(names))
    if len(columns) != len(names):
        raise HistoryError(f"row 1 of {source} can be split in two ways: remove its quotes")
    return names, *_filled(columns, _lines(data, columns))


def _filled(columns: list[Any], lines: NDArray[np.int64]) -> tuple[list[Any], NDArray[np.int64]]:
    """Leave out rows all of whose cells are empty, such as those that spreadsheets leave at the end."""
    blank = np.ones(len(lines), np.bool_)
    for column in columns:
        blank = blank & pc.equal(column, "").to_numpy()
        if not blank.any():
            return columns, lines
    rows = np.flatnonzero(~blank)
    return [column.take(pa.array(rows)) for column in columns], lines[rows]


def _lines(data: bytes, columns: list[Any]) -> NDArray[np.int64]:
    """Number each row's line as a text editor does: the header's is 1, line breaks within quotes count."""
    lines = np.arange(2, 2 + len(columns[0]))
    if b'"' in data:
        breaks = sum(pc.count_substring(column, "\n").to_numpy() for column in columns)
        lines[1:] += np.cumsum(breaks)[:-1]
    return lines


def _header(source: str, line: str, delimiter: str) -> list[str]:
    if line.count('"') % 2:
        raise HistoryError(f"row 1 of {source} {_UNCLOSED}")
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


def _cells(source: str, data: bytes, delimiter: str, width: int) -> list[Any]:
    ragged: list[Any] = []

    def stop(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One thread, or rows would not be numbered.
            pyarrow.csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=1 << 24),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=stop
            ),
            pyarrow.csv.ConvertOptions(column_types={f"f{i}": pa.string() for i in range(width)}),
        )
    except pa.ArrowException as exc:
        raise HistoryError(_ragged(source, ragged[0]) if ragged else _unreadable(source, data, exc)) from exc
    return list(table.slice(1).columns)


def _ragged(source: str, row: Any) -> str:
    if row.text.count('"') % 2:
        return f"row {row.number} of {source} {_UNCLOSED}"
    fields = f"{row.actual_columns} field{'s' if row.actual_columns > 1 else ''}"
    return f"row {row.number} of {source} has {fields}, the header {row.expected_columns}: write one for each column"


def _unreadable(source: str, data: bytes, exc: Exception) -> str:
    """Blame the first line with an odd quote: one that opens and never closes swallows the rest of the file."""
    for number, line in enumerate(_NEWLINE.split(data), start=1):
        if line.count(b'"') % 2:
            return f"row {number} of {source} {_UNCLOSED}"
    why = str(exc).partition("\n")[0][:200]
    return f"{source} cannot be read as CSV ({why}): save it again"


def _line(data: bytes, at: int) -> int:
    return len(_NEWLINE.findall(data, 0, at)) + 1
