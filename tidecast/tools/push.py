"""Push a file's readings: as fast as Redis takes them, or at a multiple of their original speed."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice

from tidecast.client import Client
from tidecast.client.addresses import PIPELINE
from tidecast.errors import BadReading, SettingsError
from tidecast.files.following import follow
from tidecast.files.history import Histories, counted
from tidecast.files.known import KNOWN_AT, known_rows
from tidecast.files.layout import Selection, fields_of
from tidecast.files.pipe import descriptor_of
from tidecast.files.readings import Row, in_order, readings_in
from tidecast.files.refusal import Refusal, print_notes, print_refused
from tidecast.files.tables import read_tables
from tidecast.files.zones import zone_of
from tidecast.models.known.values import ALWAYS
from tidecast.moments import wire_time

_SPEED = re.compile(r"(\d+(?:\.\d+)?)x?")


@dataclass(slots=True)
class PushResult:
    """The number of readings pushed so far, and the refused series."""

    count: int = 0
    refused: list[Refusal] = field(default_factory=list)
    repeated: Counter[tuple[str, str]] = field(default_factory=Counter)  # refused rows by series and reason

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        """Report refusals."""
        refusals = tuple(refusals)
        print_refused(refusals)
        self.refused += refusals

    def sum_up(self) -> None:
        """Report how many more rows of a series were refused than the first one of each reason."""
        more = ((series, count - 1) for (series, _), count in self.repeated.items() if count > 1)
        self.refuse(Refusal(series, f"{counted(count, 'reading')} more, for the same reason") for series, count in more)
        self.repeated.clear()


def push_file(
    client: Client,
    source: str,
    selection: Selection,
    pushed: PushResult,
    *,
    time_zone: str | None = None,
    speed: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int], None] = lambda _done: None,
) -> None:
    """Push every reading of a file, of a directory or of standard input ("-").

    The lines of a pipe are pushed as they come; with a speed they are read to the end first.

    Args:
        client: pushes the readings.
        source: CSV (also gzip), Parquet or a directory of these, as for training.
        selection: the named columns.
        pushed: updated with the number of readings and the refused series.
        time_zone: the zone of times without an offset; None: UTC.
        speed: None pushes without pause; 60 pushes all series together at sixty times their original speed.
        sleep: waits for a number of seconds.
        progress: called with the number of pushed readings.

    Raises:
        HistoryError: the file cannot be read; the message names the row and the remedy.
    """
    descriptor = descriptor_of(source) if speed is None else None
    if descriptor is None:
        batches: Iterable[Histories] = [readings_in(source, selection, time_zone)]
    else:
        batches = follow(descriptor, source, selection, time_zone)
    for histories in batches:
        _note(histories, selection, pushed)
        moments = (
            paced(in_order(histories.accepted), speed) if speed else ((0.0, chunk) for chunk in _chunks(histories))
        )
        for pause_s, rows in moments:
            if pause_s:
                sleep(pause_s)
            _push(client, rows, pushed)
            progress(pushed.count)
        pushed.sum_up()


def push_known_file(
    client: Client, source: str, selection: Selection, pushed: PushResult, *, time_zone: str | None = None
) -> None:
    """Push the values of a file as known ahead: a row for each series or pattern and time, a column for each field.

    Args:
        client: pushes the values.
        source: as for `push_file`, read to its end.
        selection: the named columns; by default all numeric ones. Without a column of series the values are for all.
        pushed: updated with the number of rows and the refused series.
        time_zone: the zone of times without an offset; None: UTC.

    Raises:
        HistoryError: the file cannot be read; the message names the row and the remedy.
    """
    zone = zone_of(time_zone)
    for table in read_tables([source]):
        layout = fields_of(table, selection, (KNOWN_AT,))
        print_notes((*table.notes, *(f"{table.source}: {note}" for note in layout.notes)))
        for series, ts, values, known_at in known_rows(table, layout, zone).in_order():
            with _refusing(series, pushed):
                client.push_known(series, values, wire_time(ts), None if known_at == ALWAYS else known_at)
                pushed.count += 1
    pushed.sum_up()


def paced(rows: Iterable[Row], speed: float) -> Iterator[tuple[float, list[Row]]]:
    """Group sorted rows by their time; yield (seconds to wait first, the rows of that time)."""
    before: int | None = None
    for ts, moment in groupby(rows, key=lambda row: row.ts):
        yield (ts - before) / 1000 / speed if before is not None else 0.0, list(moment)
        before = ts


def parse_speed(text: str) -> float:
    """Parse `60x` or `60` as 60.

    Raises:
        SettingsError: the text is not a positive number.
    """
    match = _SPEED.fullmatch(text)
    if not match or float(match[1]) == 0:
        raise SettingsError(f"--speed is {text!r}, which is not a positive number: write for instance 60x")
    return float(match[1])


def _note(histories: Histories, selection: Selection, pushed: PushResult) -> None:
    print_notes((*histories.all_notes, *_field_notes(histories, selection.likely_target, pushed)))
    pushed.refuse(histories.refused)


def _field_notes(histories: Histories, target: str, pushed: PushResult) -> Iterator[str]:
    """Warn once about readings whose field a worker forecasts only if a model names it."""
    fields = {history.features[0] for history in histories.accepted}
    if fields and target not in fields and not pushed.count:
        name = min(fields)
        yield f"the field is {name!r}: a worker forecasts it if a model names it, or with series.target = {name!r}"


def _chunks(histories: Histories) -> Iterator[list[Row]]:
    rows = in_order(histories.accepted)
    while chunk := list(islice(rows, PIPELINE)):
        yield chunk


def _push(client: Client, rows: list[Row], pushed: PushResult) -> None:
    """Push rows; if some are invalid, such as those with a time in the future, push the others."""
    try:
        pushed.count += len(client.push_many([(row.series, row.values, wire_time(row.ts)) for row in rows]))
    except BadReading:
        for row in rows:
            _push_one(client, row, pushed)


def _push_one(client: Client, row: Row, pushed: PushResult) -> None:
    with _refusing(row.series, pushed):
        client.push(row.series, row.values, wire_time(row.ts))
        pushed.count += 1


@contextmanager
def _refusing(series: str, pushed: PushResult) -> Iterator[None]:
    """Report a row that the client refuses, unless one of its series was refused for the same reason."""
    try:
        yield
    except BadReading as exc:
        cause = series, exc.reason
        if cause not in pushed.repeated:
            pushed.refuse([Refusal(series, str(exc))])
        pushed.repeated[cause] += 1
