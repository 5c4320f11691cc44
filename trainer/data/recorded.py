"""Histories from Redis: the readings that workers have consumed, from the streams and from their archive."""

import gc
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.known_stream import read_known_stream
from tidecast.connection.paging import Page, committed, pages_of, pair, successor
from tidecast.connection.partitions import at_present
from tidecast.errors import HistoryError
from tidecast.files.history import Histories, History, counted
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from tidecast.wire import Keys, Layout, Part, layout_of
from trainer.data.archive import Archive
from trainer.data.former_names import FormerNames
from trainer.data.known import add_known
from trainer.data.stream_reader import ALL, NO_TIME, PartitionReader, Wanted


@dataclass(frozen=True, slots=True)
class RecordedQuery:
    """The recorded readings to read.

    Attributes:
        series: their names; none: all series.
        pattern: of the series' names, as in `fnmatch.fnmatchcase`.
        since_ms: by the entries' ids, epoch milliseconds; None: from the oldest.
        now_ms: a reading more than a day after this time is refused; None: now.
        target: the field to forecast; None: `series.target`.
        features: further fields; a series gets those that it was ever sent. `("all",)`: each field of a series that
            only ever held numbers.
        archive: the directory of the archive; None: only the streams are read.
        partitions: the partitions to read; None: all.
    """

    series: Collection[str] = ()
    pattern: str = "*"
    since_ms: int | None = None
    now_ms: int | None = None
    target: str | None = None
    features: Sequence[str] = ()
    archive: Path | None = None
    partitions: Sequence[int] | None = None


def read_recorded(settings: Settings, query: RecordedQuery | None = None, connection: Redis | None = None) -> Histories:
    """Return histories of the readings that workers have committed, from the partitions and, if given, the archive.

    Readings of a renamed series have its present name, and those of a deleted series are left out, by the log of the
    store. Readings that a worker refuses are skipped and counted in a note. Of a series' readings only those in the
    order of their times are kept: the first of each time, and none earlier than one before it.

    Args:
        settings: where Redis is, and how readings are read.
        query: the readings; None: all in the streams.
        connection: an open connection to that Redis, which stays open; None: a new connection.

    Raises:
        SettingsError: Redis stores no valid number of partitions.
        HistoryError: the archive is missing or damaged.
    """
    query = query or RecordedQuery()
    wanted = _wanted(query, settings)
    first = b"%d-0" % max(0, query.since_ms or 0)
    former_names = FormerNames(ModelStore(settings.store).endings())
    histories: list[History] = []
    refused: Counter[str] = Counter()
    with nullcontext(connection) if connection else connect(settings) as redis, _without_collector():
        settings = at_present(redis, settings)
        for partition in range(settings.partitions) if query.partitions is None else query.partitions:
            reader = PartitionReader(settings, partition, wanted)
            for page in _pages(redis, settings, partition, first, query.archive, former_names):
                reader.take(page)
            histories += reader.histories()
            refused += reader.refused
        known = read_known_stream(redis, settings)
    return add_known(Histories(tuple(histories), notes=_notes(refused)), known, settings.known)


def check_sent(asked: Sequence[str], read: Histories) -> None:
    """Check that each field requested as a feature occurs in some reading.

    Raises:
        HistoryError: a field does not occur.
    """
    sent = dict.fromkeys(name for history in read.accepted for name in history.features)
    for name in asked:
        if read.accepted and name not in sent and (name,) != ALL:
            raise HistoryError(f"no reading has the field {name!r}: {did_you_mean(name, sent)}")


def _wanted(query: RecordedQuery, settings: Settings) -> Wanted:
    now_ms = round(time.time() * 1000) if query.now_ms is None else query.now_ms
    target = query.target or settings.series.target
    return Wanted(target, tuple(query.features), frozenset(query.series), now_ms, query.pattern)


def _pages(
    redis: Redis, settings: Settings, partition: int, first: bytes, folder: Path | None, former_names: FormerNames
) -> Iterator[Page]:
    """Yield the entries of a partition: first those of former partitions that had its series, without other series."""
    layout = layout_of(settings)
    for part in layout.parts_of(partition):
        for entries in _pages_of(redis, settings.namespace, part, first, folder):
            page = former_names.applied(entries)
            if part.generation < layout.generation:
                page = _chosen(page, layout, partition)
            if page:
                yield page


def _chosen(page: Page, layout: Layout, partition: int) -> Page:
    """Return the entries whose series belongs to a present partition."""

    def its_partition(fields: Sequence[bytes]) -> int:
        names = dict(zip(fields[::2], fields[1::2], strict=True))
        return crc32(names.get(b"series", b"")) % layout.partitions

    return [entry for entry in page if its_partition(entry[1]) == partition]


def _pages_of(redis: Redis, namespace: str, part: Part, first: bytes, folder: Path | None) -> Iterator[Page]:
    """Yield the archived entries of a partition, then the later entries of its stream."""
    keys = part.keys
    if folder is None:
        yield from _streamed(redis, keys, first)
        return
    archive = Archive(folder, namespace, part)
    with archive.unchanged():  # so that no entry moves from the stream to the archive in between
        files = archive.files()
        yield from archive.pages(files, first)
        last = committed(redis, keys)
        if files and last is not None and pair(files[-1].last) <= pair(last):  # else the stream was restarted since
            first = max(first, successor(files[-1].last), key=pair)
        yield from _streamed(redis, keys, first)


def _streamed(redis: Redis, keys: Keys, first: bytes) -> Iterator[Page]:
    last = committed(redis, keys)
    if last is not None:
        yield from pages_of(redis, keys.readings, first, last)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Disable the garbage collector: a page's lists contain no cycles, and the search for them takes half the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _notes(refused: Counter[str]) -> tuple[str, ...]:
    untimed = refused[NO_TIME]
    reasons = ", ".join(f"{number} {reason}" for reason, number in refused.most_common() if reason != NO_TIME)
    notes = []
    if reasons:
        notes.append(f"{counted(refused.total() - untimed, 'reading')} that a worker refuses too ({reasons}): skipped")
    if untimed:
        notes.append(
            f"{counted(untimed, 'reading')} without a ts whose entry ids are ahead of the clock: skipped, "
            "for nothing records when they arrived"
        )
    return tuple(notes)
