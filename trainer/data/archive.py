"""The archive: readings that leave the streams for Parquet files, each exactly once and as it was sent.

A run moves what is old enough in five steps, partition by partition; killed at any of them, the next run goes on.

1. What an earlier run has archived but not trimmed is compared with the archive and trimmed.
2. The entries after the last archived one are written to a temporary file, which is synced.
3. The file is renamed to its own name, and the directory synced: from here on it is part of the archive.
4. The stream is trimmed up to the file's last entry.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from redis import Redis

from tidecast.connection import connect
from tidecast.connection.paging import Page, check_setup, committed, pages_of, pair, successor
from tidecast.durable import sync
from tidecast.errors import HistoryError
from tidecast.settings import Settings
from tidecast.wire import Keys, keys_of

FORMAT = 1
SUFFIX = ".parquet"
TEMPORARY = ".tidecast-*.tmp"
SCHEMA = pa.schema(
    [
        ("id", pa.binary()),
        ("series", pa.binary()),  # null where an entry has none: it is archived too
        ("fields", pa.list_(pa.struct([("name", pa.binary()), ("value", pa.binary())]))),  # in their order
    ]
)
_ABOUT = b"tidecast."  # what the names of our metadata begin with
_LARGEST = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A whole file of the archive: the entries from `first` to `last` of one partition, as they were in the stream."""

    path: Path
    first: bytes  # entry ids
    last: bytes


class Archive:
    """One partition's files in the directory of the archive.

    Args:
        folder: the directory; other files in it are left alone.
        settings: of the namespace and the partitions.
        partition: which one.
    """

    def __init__(self, folder: Path, settings: Settings, partition: int) -> None:
        self._folder = folder
        self._about = {
            b"format": b"%d" % FORMAT,
            b"namespace": settings.namespace.encode(),
            b"partition": b"%d" % partition,
            b"partitions": b"%d" % settings.partitions,
        }

    @contextmanager
    def unchanged(self, *, by_others: bool = False) -> Iterator[None]:
        """Keep everyone from moving readings into the directory, or everyone else: waits for who is at it."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise HistoryError(
                f"{self._folder} holds no archive ({exc.strerror}): run tidecast archive, or name another directory"
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if by_others else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def files(self) -> list[ArchiveFile]:
        """The partition's files, the oldest entries first.

        Raises:
            HistoryError: a file is damaged, or of a later version.
        """
        found = (self._file(path) for path in self._folder.glob(f"*{SUFFIX}"))
        return sorted((file for file in found if file), key=lambda file: pair(file.first))

    def pages(self, files: Sequence[ArchiveFile], first: bytes = b"0-0") -> Iterator[Page]:
        """The archived entries from `first` on, as they were in the stream.

        Raises:
            HistoryError: a file is damaged.
        """
        for file in files:
            if pair(file.last) < pair(first):
                continue
            with _readable(file.path), pyarrow.parquet.ParquetFile(file.path) as table:
                for i in range(table.num_row_groups):
                    page = _page(table.read_row_group(i))
                    if pair(page[0][0]) < pair(first):
                        page = [entry for entry in page if pair(entry[0]) >= pair(first)]
                    if page:
                        yield page

    def add(self, pages: Iterator[Page]) -> tuple[ArchiveFile, int] | None:
        """Write entries to a file of their own, whole or not at all; returns how many; None: there are none.

        Raises:
            HistoryError: the directory takes no file.
        """
        page = next(pages, None)
        if page is None:
            return None
        first, last, count = page[0][0], b"", 0
        temporary = self._folder / TEMPORARY.replace("*", str(os.getpid()))
        with _writable(self._folder):
            with pyarrow.parquet.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
                while page:
                    writer.write_table(_table(page))
                    last, count = page[-1][0], count + len(page)
                    page = next(pages, None)
                about = self._about | {b"first": first, b"last": last}
                writer.add_key_value_metadata({_ABOUT + name: value for name, value in about.items()})
            sync(temporary)
            path = self._folder / self._name(first, last)
            temporary.rename(path)
            sync(self._folder)
        return ArchiveFile(path, first, last), count

    def clear(self) -> None:
        """Delete what runs left behind that died before their file was whole."""
        for path in self._folder.glob(TEMPORARY):
            path.unlink()

    def _name(self, first: bytes, last: bytes) -> str:
        namespace = self._about[b"namespace"].decode()
        prefix = f"{namespace}-" if namespace else ""
        partition = b"%b-of-%b" % (self._about[b"partition"], self._about[b"partitions"])
        return f"readings-{prefix}{b'_'.join((partition, first, last)).decode()}{SUFFIX}"

    def _file(self, path: Path) -> ArchiveFile | None:
        """A file of this partition; None if it is another's, or none of ours."""
        with _readable(path):
            metadata = pyarrow.parquet.read_metadata(path).metadata or {}
        found = {n.removeprefix(_ABOUT): value for n, value in metadata.items() if n.startswith(_ABOUT)}
        if not found:
            return None
        if (version := int(found[b"format"])) > FORMAT:
            raise HistoryError(f"{path}: archive format {version}, this reads up to {FORMAT}: upgrade")
        ours = all(found[name] == value for name, value in self._about.items() if name != b"format")
        return ArchiveFile(path, found[b"first"], found[b"last"]) if ours else None


def move(
    settings: Settings, folder: Path, before_ms: int, progress: Callable[[int], None] = lambda _moved: None
) -> int:
    """Move the committed readings from before a time into the archive; returns how many.

    Args:
        settings: where Redis is.
        folder: of the archive; made if it is missing.
        before_ms: the time, by the entries' ids, epoch milliseconds.
        progress: told how many are moved, partition by partition.

    Raises:
        SettingsError: Redis was set up for another number of partitions.
        HistoryError: the archive is damaged, or is another stream's.
    """
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    moved = 0
    with connect(settings) as redis:
        check_setup(redis, settings)
        for partition in range(settings.partitions):
            keys = keys_of(partition, settings.partitions, settings.namespace)
            archive = Archive(folder, settings, partition)
            with archive.unchanged(by_others=True):
                archive.clear()
                moved += _move(redis, keys, archive, before_ms)
                progress(moved)
    return moved


def _move(redis: Redis, keys: Keys, archive: Archive, before_ms: int) -> int:
    """The steps of a run for one partition; see the module's head."""
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
    """Trim what is archived and still in the stream, once it is certain that it is the same.

    Raises:
        HistoryError: an entry is not in the archive, although later ones are.
    """
    archived: Iterator[object] | None = None
    for page in pages_of(redis, keys.readings, b"-", last):
        archived = archived or (entry for part in archive.pages(files, page[0][0]) for entry in part)
        for entry in page:
            if entry not in archived:  # both are in order: looks on from where the one before was found
                raise HistoryError(
                    f"entry {entry[0].decode()} of {keys.readings} is older than what {files[-1].path.parent} holds of "
                    "it, and not in there: the archive is of another Redis, or the stream was begun anew: name another "
                    "directory"
                )
    if archived is not None:
        _trim(redis, keys, last)


def _trim(redis: Redis, keys: Keys, last: bytes) -> None:
    """Delete a stream's entries up to `last`, which must be committed."""
    redis.xtrim(keys.readings, minid=successor(last), approximate=False)


def _table(page: Page) -> pa.Table:
    sizes = [len(fields) // 2 for _, fields in page]
    names = pa.array([name for _, fields in page for name in fields[::2]], pa.binary())
    values = pa.array([value for _, fields in page for value in fields[1::2]], pa.binary())
    pairs = pa.StructArray.from_arrays([names, values], ["name", "value"])
    columns = [
        pa.array([entry_id for entry_id, _ in page], pa.binary()),
        pa.array([dict(zip(fields[::2], fields[1::2], strict=True)).get(b"series") for _, fields in page], pa.binary()),
        pa.ListArray.from_arrays(pa.array(np.cumsum([0, *sizes]), pa.int32()), pairs),
    ]
    return pa.table(columns, schema=SCHEMA)


def _page(table: pa.Table) -> Page:
    ids, fields = (table[name].combine_chunks() for name in ("id", "fields"))
    starts = (2 * fields.offsets.to_numpy()).tolist()
    names, values = (_objects(fields.values.field(i)) for i in range(2))
    flat = np.empty(2 * len(names), object)
    flat[::2], flat[1::2] = names, values
    sent = flat.tolist()
    return [[i, sent[a:b]] for i, a, b in zip(_objects(ids), starts, starts[1:], strict=False)]


def _objects(array: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    """The texts as `bytes`; far faster than `to_pylist`."""
    found: np.ndarray[tuple[int], np.dtype[np.object_]] = array.to_numpy(zero_copy_only=False)
    return found


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as exc:
        why = str(exc).partition("\n")[0][:200]
        raise HistoryError(f"{path} is no whole file of an archive ({why}): restore it, or move it away") from exc


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise HistoryError(
            f"{folder} takes no file ({exc}): make room or grant the right to write, then repeat"
        ) from exc
