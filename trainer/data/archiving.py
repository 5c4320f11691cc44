"""Moving of readings from the streams to the archive, each exactly once and unchanged.

A run moves old readings in four steps, partition by partition. If it is killed at any step, the next run resumes.

1. Entries that an earlier run archived but did not trim are compared with the archive and trimmed.
2. The entries after the last archived one are written to a temporary file, which is synced.
3. The file is renamed to its final name, and the directory is synced: now the file is part of the archive.
4. The stream is trimmed up to the file's last entry.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.paging import committed, pages_of, pair, successor
from tidecast.connection.partitions import at_present
from tidecast.errors import HistoryError
from tidecast.settings import Settings
from tidecast.wire import Keys, layout_of
from trainer.data.archive import Archive, ArchiveFile, writable

_LARGEST = 2**64 - 1  # the second part of an entry id


def move(
    settings: Settings, folder: Path, before_ms: int, progress: Callable[[int], None] = lambda _moved: None
) -> int:
    """Move the committed readings from before a time into the archive; return their number.

    Args:
        settings: where Redis is.
        folder: of the archive; created if it is missing.
        before_ms: the time, by the entries' ids, epoch milliseconds.
        progress: called after each partition with the number of readings moved so far.

    Raises:
        SettingsError: Redis was set up for another number of partitions.
        HistoryError: the archive is damaged, or belongs to another stream.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    moved = 0
    with connect(settings) as redis:
        for part in layout_of(at_present(redis, settings)).every_part():
            keys = part.keys
            archive = Archive(folder, settings.namespace, part)
            with archive.unchanged(by_others=True):
                archive.clear()
                moved += _move(redis, keys, archive, before_ms)
                progress(moved)
    return moved


def _move(redis: Redis, keys: Keys, archive: Archive, before_ms: int) -> int:
    """Run the steps of the module's docstring for one partition; return the number of readings moved."""
    last = committed(redis, keys)
    if last is None or before_ms <= 0:
        return 0
    files = archive.files()
    if files:
        _finish(redis, keys, archive, files, min(files[-1].last, last, key=pair))
    start = successor(files[-1].last) if files else b"0-0"
    stop = min(last, b"%d-%d" % (before_ms - 1, _LARGEST), key=pair)
    if pair(stop) < pair(start):
        return 0
    added = archive.add(pages_of(redis, keys.readings, start, stop))
    if added is None:
        return 0
    file, count = added
    _trim(redis, keys, file.last)
    return count


def _finish(redis: Redis, keys: Keys, archive: Archive, files: Sequence[ArchiveFile], last: bytes) -> None:
    """Trim the archived entries that are still in the stream, after comparing them with the archive.

    Raises:
        HistoryError: an entry is not in the archive, although later ones are.
    """
    archived: Iterator[object] | None = None
    for page in pages_of(redis, keys.readings, b"-", last):
        archived = archived or (entry for part in archive.pages(files, page[0][0]) for entry in part)
        for entry in page:
            if entry not in archived:  # both are in order: `in` continues after the previous match
                raise HistoryError(
                    f"the archive {files[-1].path.parent} lacks entry {entry[0].decode()} of {keys.readings}, and has "
                    "later ones: it is of another Redis, or the stream was recreated; name another directory"
                )
    if archived is not None:
        _trim(redis, keys, last)


def _trim(redis: Redis, keys: Keys, last: bytes) -> None:
    """Delete a stream's entries up to `last`, which must be committed."""
    redis.xtrim(keys.readings, minid=successor(last), approximate=False)
