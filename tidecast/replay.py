"""Push a file's readings: as fast as Redis takes them, or at a multiple of the speed at which they happened."""

import csv
import gzip
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import IO, TextIO

from tidecast.client import PIPELINE, Client
from tidecast.errors import HistoryError

SERIES_COLUMNS = ("series", "unique_id")
TIME_COLUMNS = ("timestamp", "ds", "ts")
VALUE_ALIASES = {"y": "value"}
_SPEED = re.compile(r"(\d+(?:\.\d+)?)x?")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file: the fields of a reading as text, and its time in epoch milliseconds."""

    series: str
    ts: int
    values: Mapping[str, str]


def push_file(
    client: Client,
    path: str,
    speed: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int], None] = lambda _done: None,
) -> int:
    """Push every reading of a CSV file ("-": standard input), and return how many there were.

    Args:
        client: where to push.
        path: a CSV or CSV.gz file with the columns `series,timestamp,value` (or `unique_id,ds,y`); further columns
            go along as features.
        speed: None pushes in the file's order without pause; 60 replays all series together in the order of their
            times, sixty times as fast as they happened.
        sleep: how to wait, in seconds.
        progress: told how many are pushed.

    Raises:
        HistoryError: the file cannot be read, with the line.
    """
    pushed = 0
    with _opened(path) as file:
        rows = read_rows(file, path)
        if speed is None:
            while chunk := list(islice(rows, PIPELINE)):
                pushed += _push(client, chunk)
                progress(pushed)
            return pushed
        for pause_s, moment in paced(sorted(rows, key=lambda row: row.ts), speed):
            sleep(pause_s)
            pushed += _push(client, moment)
            progress(pushed)
    return pushed


def rows_of(path: str) -> list[Row]:
    """Read all rows of a CSV file ("-": standard input).

    Raises:
        HistoryError: the file cannot be read, with the line.
    """
    with _opened(path) as file:
        return list(read_rows(file, path))


def paced(rows: list[Row], speed: float) -> Iterator[tuple[float, list[Row]]]:
    """Group sorted rows by their time: (seconds to wait first, the rows of that time)."""
    before: int | None = None
    for ts, moment in groupby(rows, key=lambda row: row.ts):
        yield (ts - before) / 1000 / speed if before is not None else 0.0, list(moment)
        before = ts


def parse_speed(text: str) -> float:
    """Read `60x` or `60` as 60.

    Raises:
        HistoryError: it is no positive number.
    """
    match = _SPEED.fullmatch(text)
    if not match or float(match[1]) == 0:
        raise HistoryError(f"speed {text!r} is no positive multiple: write for instance 60x")
    return float(match[1])


def read_rows(file: TextIO, name: str) -> Iterator[Row]:
    """Read a CSV file's rows; a row without any value is passed over.

    Raises:
        HistoryError: a column is missing, or a row has no series or no time; the message names the line.
    """
    table = csv.DictReader(file)
    columns = table.fieldnames or []
    series_column = _find(columns, SERIES_COLUMNS, name)
    time_column = _find(columns, TIME_COLUMNS, name)
    fields = {c: VALUE_ALIASES.get(c, c) for c in columns if c not in (series_column, time_column)}
    if not fields:
        raise HistoryError(f"{name}: no column of values beside {', '.join(columns)}: add one named value")
    for row in table:
        values = {field: row[column] for column, field in fields.items() if row[column] not in (None, "")}
        if not row[series_column]:
            raise HistoryError(f"{name}, line {table.line_num}: the series is empty: name it")
        if values:
            yield Row(row[series_column], _ms(row[time_column] or "", f"{name}, line {table.line_num}"), values)


def _push(client: Client, rows: list[Row]) -> int:
    return len(client.push_many((row.series, row.values, row.ts) for row in rows))


def _find(columns: Sequence[str], wanted: tuple[str, ...], name: str) -> str:
    for column in wanted:
        if column in columns:
            return column
    raise HistoryError(
        f"{name}: no column {' or '.join(wanted)} in {', '.join(columns) or 'an empty file'}: rename one"
    )


def _ms(text: str, where: str) -> int:
    try:
        if text.removeprefix("-").isdecimal():
            return int(text)
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise HistoryError(f"{where}: {text!r} is no time: write ISO-8601 or epoch milliseconds") from exc
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@contextmanager
def _opened(path: str) -> Iterator[TextIO]:
    if path == "-":
        yield sys.stdin
        return
    try:
        opener: Callable[..., IO[str]] = gzip.open if path.endswith(".gz") else open
        with opener(Path(path), "rt", encoding="utf-8-sig", newline="") as file:
            yield file  # type: ignore[misc] # gzip.open in text mode gives a TextIO
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as exc:
        raise HistoryError(f"{path}: cannot be read as CSV in UTF-8 ({exc}): check the file") from exc
