"""The readings that a command uses: those of files, or those that workers have answered."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tidecast.errors import HistoryError
from tidecast.files.history import Histories, histories_of, known_values
from tidecast.files.layout import ALL, NONE, Selection, layout_of
from tidecast.files.tables import Table, read_tables
from tidecast.models.known.values import KnownValues
from tidecast.settings import Settings
from trainer.data.known import add_known, check_matched
from trainer.data.known_file import add_known_files
from trainer.data.recorded import RecordedQuery, check_sent, read_recorded


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recorded readings to use: those since a time, and optionally those of an archive."""

    since_ms: int | None = None  # epoch milliseconds; None: from the oldest
    history: Path | None = None  # the archive's directory


@dataclass(frozen=True, slots=True)
class Source:
    """Files or recorded readings, and the columns or fields to use."""

    files: tuple[str, ...] = ()
    recorded: Recorded | None = None  # instead of files
    target: str | None = None
    features: tuple[str, ...] = ()
    series_column: str | None = None  # of files
    time_zone: str | None = None  # of files, for times without an offset
    future: tuple[str, ...] = ()  # files with values that are known ahead


def read_source(
    source: Source, settings: Settings, *, series: Collection[str] = (), all_by_default: bool = False
) -> Histories:
    """Read histories.

    Args:
        source: the files or the recorded readings.
        settings: the usual target, and where Redis is.
        series: the names of the recorded series to read; none: all series.
        all_by_default: use every numeric column if no features are named.

    Raises:
        HistoryError: a file cannot be read, or no reading was recorded.
    """
    if source.recorded is None:
        return _from_files(source, settings, all_by_default=all_by_default)
    features = source.features or ((ALL,) if all_by_default else ())
    histories = _recorded(source.recorded, settings, series, source.target, () if features == (NONE,) else features)
    if not source.future:
        return histories
    values = known_values(histories.accepted)  # those of the stream
    targets = ((source.target or settings.series.target).casefold(),)
    notes = add_known_files(values, source.future, (), targets, source.series_column, source.time_zone)
    return _noted(add_known(histories, values, settings.known), notes)


def _from_files(source: Source, settings: Settings, *, all_by_default: bool) -> Histories:
    tables: Iterable[Table] = read_tables(source.files)
    values = KnownValues()
    notes: tuple[str, ...] = ()
    likely = settings.series.target
    selection = Selection(source.target, source.features, source.series_column, likely, all_by_default)
    if source.future:
        tables = list(tables)  # they are read twice
        targets = {name.casefold() for table in tables for name in layout_of(table, selection).targets}
        notes = add_known_files(values, source.future, tables, targets, source.series_column, source.time_zone)
    histories = histories_of(tables, selection, source.time_zone)
    if source.future:
        check_matched(histories, values)
    return _noted(add_known(histories, values, settings.known), notes)


def _noted(histories: Histories, notes: tuple[str, ...]) -> Histories:
    """Add notes on the files of values that are known ahead."""
    return replace(histories, notes=(*histories.notes, *notes))


def _recorded(
    recorded: Recorded, settings: Settings, series: Collection[str], target: str | None, features: tuple[str, ...]
) -> Histories:
    query = RecordedQuery(
        series=series, since_ms=recorded.since_ms, target=target, features=features, archive=recorded.history
    )
    histories = read_recorded(settings, query)
    if not histories.accepted:
        if histories.notes:
            why = "; ".join(histories.notes)
            raise HistoryError(f"nothing recorded can be used ({why}): name a field of the readings with --target")
        why = "no worker has answered a reading of that time"
        raise HistoryError(f"nothing is recorded ({why}): start a worker, or reach further back with --since")
    check_sent(features, histories)
    return histories
