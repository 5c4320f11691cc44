"""Read comma-separated text as columns of text, with the line number of each row."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Int64
from tidecast.errors import HistoryError
from tidecast.files.text import Text

ACCEPTED = "give CSV (gzip too) or Parquet"
DELIMITERS = ";\t,"

_BOM = "\ufeff"
_FOREIGN = {
    b"PK\x03\x04": "a ZIP or Excel file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"\x1f\x8b": "compressed twice",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh91AY&SY": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_NEWLINE = re.compile(rb"\r\n?|\n")
_JSON = re.compile(r"\s*(?:\{|\[\s*(?:\{|$))")
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)
_NO_SEPARATORS = {  # all bytes except the delimiter and the line break
    delimiter: bytes(byte for byte in range(256) if byte not in (ord(delimiter), ord("\n"))) for delimiter in DELIMITERS
}
UNCLOSED = "opens a quote that nothing closes: close it or remove it"


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """The first line of a CSV file."""

    source: str  # the name of the file in messages
    delimiter: str
    names: tuple[str, ...]

    @property
    def needed(self) -> int:
        """The smallest number of fields in a row: unnamed columns at the end may be left out."""
        return max(number for number, name in enumerate(self.names, start=1) if name.strip())


@dataclass(frozen=True, slots=True)
class TextRows:
    """The rows of a CSV file, by column.

    Attributes:
        names: the names of the columns.
        columns: their cells.
        numbers: `(rows,)` the line number of each row.
    """

    names: tuple[str, ...]
    columns: list[Text]
    numbers: Int64


def read_delimited(source: str, data: bytes) -> TextRows:
    """Read CSV; empty rows are left out.

    Raises:
        HistoryError: it is not UTF-8 text, or its rows do not all have the same number of fields.
    """
    text = decoded(source, data)
    end = text.find("\n") if "\n" in text else len(text)
    header = header_of(source, text[:end], text[end + 1 :].partition("\n")[0])
    return read_rows(header, text[end + 1 :], 2)


def decoded(source: str, data: bytes, first_line: int = 1) -> str:
    """Decode UTF-8 text, with `\\n` for every line break and without a byte-order mark.

    Args:
        source: the name of the file in messages.
        data: its bytes, or some of its lines.
        first_line: the number of the first line.

    Raises:
        HistoryError: the data are not UTF-8 text.
    """
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise HistoryError(f"{source} is {what}: save it as CSV in UTF-8, or as Parquet")
    if (at := data.find(b"\0")) >= 0:
        raise HistoryError(
            f"row {first_line + _breaks(data, at)} of {source} holds a NUL byte, so it is not text: {ACCEPTED}"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        where = f"row {first_line + _breaks(data, exc.start)} of {source}"
        raise HistoryError(f"{where} is not UTF-8 (byte 0x{data[exc.start]:02x}): save it as UTF-8") from exc
    text = text.lstrip(_BOM)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def header_of(source: str, line: str, next_line: str = "") -> HeaderLine:
    """Parse the first line.

    Args:
        source: the name of the file in messages.
        line: the first line.
        next_line: the second line, if it is there yet; it decides between delimiters that both occur in the first.

    Raises:
        HistoryError: the line is blank, has an unclosed quote, is not a header, or begins another kind of file.
    """
    if _JSON.match(line):
        raise HistoryError(f"{source} is JSON: {ACCEPTED}")
    if _SEPARATOR.fullmatch(line):
        raise HistoryError(f"row 1 of {source} is {line.strip()!r}, a spreadsheet's mark: remove this line")
    if has_open_quote(line):
        raise HistoryError(f"row 1 of {source} opens a quote and does not close it: write all column names in one line")
    delimiter = _delimiter(line, next_line)
    try:
        names = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as exc:
        raise HistoryError(f"row 1 of {source} is not a header ({exc}): begin the file with column names") from exc
    if not any(name.strip() for name in names):
        raise HistoryError(f"row 1 of {source} is blank: begin the file with column names")
    if len(names) == 1 and any(each in next_line for each in DELIMITERS):
        raise HistoryError(
            f"row 1 of {source} is {line[:40]!r}, and row 2 has more columns: begin the file with their names"
        )
    return HeaderLine(source, delimiter, tuple(names))


def _delimiter(line: str, next_line: str) -> str:
    """Return the delimiter that occurs most often in both lines, outside quotes."""
    header = _QUOTED.sub("", line)
    row = _QUOTED.sub("", next_line)
    return max(DELIMITERS, key=lambda each: (min(header.count(each), row.count(each)), header.count(each)))


def has_open_quote(line: str) -> bool:
    """Return whether a line opens a quote that it does not close."""
    return line.count('"') % 2 == 1


def stop(sentence: str) -> None:
    """Raise a HistoryError, which refuses a whole file because of one row."""
    raise HistoryError(sentence)


def read_rows(header: HeaderLine, text: str, first_line: int, refuse: Callable[[str], None] = stop) -> TextRows:
    """Read lines below the header; empty rows are left out.

    Args:
        header: the header of the file.
        text: the lines.
        first_line: the number of the first line.
        refuse: called with a sentence about each row whose number of fields differs from the header.
    """
    width = len(header.names)
    text = text if text.endswith("\n") else text + "\n"
    separators = text.encode().translate(None, _NO_SEPARATORS[header.delimiter])
    count = text.count("\n")
    if '"' not in text and separators == (header.delimiter * (width - 1) + "\n").encode() * count:
        cells = text[:-1].replace("\n", header.delimiter).split(header.delimiter)
        numbers: Int64 = np.arange(first_line, first_line + count)
    else:
        cells, numbers = _read_oddly(header, text[:-1].split("\n"), first_line, refuse)
    rows = TextRows(header.names, [Text(cells[place::width]) for place in range(width)], numbers)
    blank = header.delimiter * (width - 1) + "\n"
    has_blank = text.startswith(blank) or f"\n{blank}" in text
    return _without_blank_rows(rows) if has_blank else rows


def _read_oddly(
    header: HeaderLine, lines: list[str], first_line: int, refuse: Callable[[str], None]
) -> tuple[list[str], Int64]:
    """Read lines with quotes or different numbers of delimiters; return the cells row by row, and the line numbers."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=header.delimiter, skipinitialspace=True)
    cells: list[str] = []
    starts: list[int] = []
    start = 0
    try:
        for row in reader:
            fitted = _fitted(header, row)
            if fitted is None:
                misfit = _misfit(header, row, lines[start : reader.line_num])
                refuse(f"row {first_line + start} of {header.source} {misfit}")
            elif any(fitted):
                cells += fitted
                starts.append(first_line + start)
            start = reader.line_num
    except csv.Error as exc:
        raise HistoryError(_unreadable(header.source, lines, first_line, exc)) from exc
    return cells, np.array(starts, np.int64)


def _fitted(header: HeaderLine, row: list[str]) -> list[str] | None:
    """Fit a row to the header's width, or return None; extra cells must be empty, unnamed columns may be missing."""
    width = len(header.names)
    if len(row) == width:
        return row
    if not any(row):
        return [""] * width
    if any(row[width:]) or len(row) < header.needed:
        return None
    return row[:width] + [""] * (width - len(row))


def _misfit(header: HeaderLine, row: Sequence[str], lines: Sequence[str]) -> str:
    if sum(line.count('"') for line in lines) % 2:
        return UNCLOSED
    fields = f"{len(row)} field{'s' if len(row) > 1 else ''}"
    return f"has {fields}, the header {len(header.names)}: write one for each column"


def _without_blank_rows(rows: TextRows) -> TextRows:
    """Leave out rows with only empty cells, which spreadsheets often write at the end."""
    blank = np.ones(len(rows.numbers), np.bool_)
    for column in rows.columns:
        blank &= np.array([not cell for cell in column.cells], np.bool_)
    filled = np.flatnonzero(~blank)
    return TextRows(rows.names, [column.take(filled) for column in rows.columns], rows.numbers[filled])


def _unreadable(source: str, lines: Sequence[str], first_line: int, exc: Exception) -> str:
    """Return a message that names the first line with an unclosed quote, which swallows the rest of the file."""
    for number, line in enumerate(lines, start=first_line):
        if has_open_quote(line):
            return f"row {number} of {source} {UNCLOSED}"
    return f"{source} cannot be read as CSV ({exc}): save it again"


def _breaks(data: bytes, at: int) -> int:
    return len(_NEWLINE.findall(data, 0, at))
