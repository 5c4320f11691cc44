"""Histories from Redis: what the workers have consumed, from the streams and from their archive."""

import gc
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.paging import Page, check_setup, committed, pages_of, pair, successor
from tidecast.errors import HistoryError
from tidecast.files.history import Histories, History, counted
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from tidecast.wire import Keys, keys_of
from trainer.data.archive import Archive
from trainer.data.stream_reader import ALL, NO_TIME, Consumed, Wanted


def read_recorded(
    settings: Settings,
    series: Sequence[str] = (),
    since_ms: int | None = None,
    *,
    target: str | None = None,
    features: Sequence[str] = (),
    history: Path | None = None,
    now_ms: int | None = None,
    partitions: Sequence[int] | None = None,
    pattern: str = "*",
    connection: Redis | None = None,
) -> Histories:
    """Read the readings that workers have committed, from all partitions and, where given, their archive.

    What a worker refuses is skipped and counted in a note. Of a series' readings those count that came in the order
    of their times: the first of each time, and none that is earlier than one before it.

    Args:
        settings: where Redis is, and how readings are read.
        series: their names; none: every one.
        since_ms: by the entries' ids, epoch milliseconds; None: from the oldest.
        target: the field to forecast; None: `series.target`.
        features: further fields, of each series those that it was ever sent; `("all",)`: every one in which it was
            only ever sent numbers.
        history: the directory of the archive.
        now_ms: a time that is over a day beyond it is refused; None: now.
        partitions: which; None: all.
        pattern: of the series' names, as `fnmatch.fnmatchcase` takes it.
        connection: to that Redis, which stays open; None: one of its own.

    Raises:
        SettingsError: Redis was set up for another number of partitions.
        HistoryError: the archive is missing or damaged.
    """
    now = round(time.time() * 1000) if now_ms is None else now_ms
    wanted = Wanted(target or settings.series.target, tuple(features), frozenset(series), now, pattern)
    first = b"%d-0" % max(0, since_ms or 0)
    found: list[History] = []
    refused: Counter[str] = Counter()
    with nullcontext(connection) if connection else connect(settings) as redis, _without_collector():
        check_setup(redis, settings)
        for partition in range(settings.partitions) if partitions is None else partitions:
            consumed = Consumed(settings, partition, wanted)
            for page in _pages(redis, settings, partition, first, history):
                consumed.take(page)
            found += consumed.histories()
            refused += consumed.refused
    return Histories(tuple(found), notes=_notes(refused))


def check_sent(asked: Sequence[str], read: Histories) -> None:
    """Make sure that some reading has each field that was asked for as a feature.

    Raises:
        HistoryError: nobody has sent one of them.
    """
    sent = dict.fromkeys(name for history in read.found for name in history.features)
    for name in asked:
        if read.found and name not in sent and (name,) != ALL:
            raise HistoryError(f"no reading has the field {name!r}: {did_you_mean(name, sent)}")


def _pages(redis: Redis, settings: Settings, partition: int, first: bytes, history: Path | None) -> Iterator[Page]:
    """What is archived of a partition, and then what is in its stream after that."""
    keys = keys_of(partition, settings.partitions, settings.namespace)
    if history is None:
        yield from _streamed(redis, keys, first)
        return
    archive = Archive(history, settings, partition)
    with archive.unchanged():  # nothing moves from the stream to the archive between the two readings
        files = archive.files()
        yield from archive.pages(files, first)
        last = committed(redis, keys)
        if files and last is not None and pair(files[-1].last) <= pair(last):  # else the stream was begun anew since
            first = max(first, successor(files[-1].last), key=pair)
        yield from _streamed(redis, keys, first)


def _streamed(redis: Redis, keys: Keys, first: bytes) -> Iterator[Page]:
    last = committed(redis, keys)
    if last is not None:
        yield from pages_of(redis, keys.readings, first, last)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for cycles among the lists of a page: there are none, and it takes half of the time."""
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
