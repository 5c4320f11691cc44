"""The archive: Parquet files with the entries of the partitions' streams, unchanged and in order."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tidecast.connection.paging import AT_ONCE, Page, pair
from tidecast.durable import sync
from tidecast.errors import HistoryError
from tidecast.wire import Part

FORMAT = 1
SUFFIX = ".parquet"
TEMPORARY = ".tidecast-*.tmp"
SCHEMA = pa.schema(
    [
        ("id", pa.binary()),
        ("series", pa.binary()),  # null for an entry without a series, which is archived too
        ("fields", pa.list_(pa.struct([("name", pa.binary()), ("value", pa.binary())]))),  # in the order of the entry
    ]
)
GENERATION = b"generation"  # files from before the first repartition may lack it
_ABOUT = b"tidecast."  # prefix of the names of our metadata


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A complete file of the archive: the entries from `first` to `last` of one partition, as in the stream."""

    path: Path
    first: bytes  # entry ids
    last: bytes


class Archive:
    """One partition's files in the directory of the archive.

    Args:
        folder: the directory; other files in it are left alone.
        namespace: the prefix of the keys.
        part: the partition.
    """

    def __init__(self, folder: Path, namespace: str, part: Part) -> None:
        self._folder = folder
        self._about = {
            b"format": b"%d" % FORMAT,
            b"namespace": namespace.encode(),
            b"partition": b"%d" % part.partition,
            b"partitions": b"%d" % part.partitions,
            GENERATION: b"%d" % part.generation,
        }

    @contextmanager
    def unchanged(self, *, by_others: bool = False) -> Iterator[None]:
        """Lock the directory so that no readings are moved into it; with `by_others` only the caller may move them.

        Waits for a process that holds the lock.
        """
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
        """Return the partition's files, the oldest entries first.

        Raises:
            HistoryError: a file is damaged, or of a later version.
        """
        files = (self._file(path) for path in self._folder.glob(f"*{SUFFIX}"))
        return sorted((file for file in files if file), key=lambda file: pair(file.first))

    def pages(self, files: Sequence[ArchiveFile], first: bytes = b"0-0") -> Iterator[Page]:
        """Yield the archived entries from `first` on, as they were in the stream.

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
        """Write entries to a new file, completely or not at all.

        Returns:
            The file and the number of entries; None if there are no entries.

        Raises:
            HistoryError: the directory cannot be written to.
        """
        page = next(pages, None)
        if page is None:
            return None
        first = page[0][0]
        last = b""
        count = 0
        temporary = self._folder / TEMPORARY.replace("*", str(os.getpid()))
        with writable(self._folder):
            with pyarrow.parquet.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
                while page:
                    writer.write_table(_table(page))
                    last = page[-1][0]
                    count += len(page)
                    page = next(pages, None)
                about = self._about | {b"first": first, b"last": last}
                writer.add_key_value_metadata({_ABOUT + name: value for name, value in about.items()})
            sync(temporary)
            path = self._folder / self._name(first, last)
            temporary.rename(path)
            sync(self._folder)
        return ArchiveFile(path, first, last), count

    def purge(self, series: bytes, last: bytes) -> int:
        """Rewrite the files without a series' entries up to an id; return their number. Each file is replaced at once.

        Raises:
            HistoryError: a file is damaged, or the directory cannot be written to.
        """
        purged = 0
        for file in self.files():
            if pair(file.first) > pair(last):
                continue
            with _readable(file.path):
                table = pyarrow.parquet.read_table(file.path)
                metadata = pyarrow.parquet.read_metadata(file.path).metadata
            gone = [
                name == series and pair(entry_id) <= pair(last)
                for name, entry_id in zip(table["series"].to_pylist(), table["id"].to_pylist(), strict=True)
            ]
            if any(gone):
                kept = table.filter(pa.array([not each for each in gone]))
                self._replace(file, kept, {n: v for n, v in metadata.items() if n.startswith(_ABOUT)})
                purged += sum(gone)
        return purged

    def _replace(self, file: ArchiveFile, table: pa.Table, about: dict[bytes, bytes]) -> None:
        temporary = self._folder / TEMPORARY.replace("*", str(os.getpid()))
        with writable(self._folder):
            with pyarrow.parquet.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
                for start in range(0, len(table), AT_ONCE):
                    writer.write_table(table.slice(start, AT_ONCE).cast(SCHEMA))
                writer.add_key_value_metadata(about)
            sync(temporary)
            temporary.rename(file.path)
            sync(self._folder)

    def clear(self) -> None:
        """Delete the temporary files of runs that died before their file was complete."""
        for path in self._folder.glob(TEMPORARY):
            path.unlink()

    def _name(self, first: bytes, last: bytes) -> str:
        namespace = self._about[b"namespace"].decode()
        prefix = f"{namespace}-" if namespace else ""
        partition = b"%b-of-%b" % (self._about[b"partition"], self._about[b"partitions"])
        if self._about[GENERATION] != b"0":
            partition = b"%b.%b" % (self._about[GENERATION], partition)
        return f"readings-{prefix}{b'_'.join((partition, first, last)).decode()}{SUFFIX}"

    def _file(self, path: Path) -> ArchiveFile | None:
        """Return a file of this partition; None if it belongs to another partition or is not an archive file."""
        with _readable(path):
            metadata = pyarrow.parquet.read_metadata(path).metadata or {}
            about = {n.removeprefix(_ABOUT): value for n, value in metadata.items() if n.startswith(_ABOUT)}
            if not about:
                return None
            about.setdefault(GENERATION, b"0")
            if (version := int(about[b"format"])) > FORMAT:
                raise HistoryError(f"{path}: archive format {version}, this reads up to {FORMAT}: upgrade")
            ours = all(about[name] == value for name, value in self._about.items() if name != b"format")
            return ArchiveFile(path, about[b"first"], about[b"last"]) if ours else None


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
    ids = table["id"].combine_chunks()
    fields = table["fields"].combine_chunks()
    starts = (2 * fields.offsets.to_numpy()).tolist()
    names, values = (_objects(fields.values.field(i)) for i in range(2))
    flat = np.empty(2 * len(names), object)
    flat[::2], flat[1::2] = names, values
    sent = flat.tolist()
    return [[i, sent[a:b]] for i, a, b in zip(_objects(ids), starts, starts[1:], strict=False)]


def _objects(array: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    """Return the texts as `bytes`; far faster than `to_pylist`."""
    objects: np.ndarray[tuple[int], np.dtype[np.object_]] = array.to_numpy(zero_copy_only=False)
    return objects


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as exc:
        why = str(exc).partition("\n")[0][:200]
        raise HistoryError(f"{path} is not a whole file of an archive ({why}): restore it, or move it away") from exc


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Raise HistoryError with a remedy if the archive's directory cannot be written to."""
    try:
        yield
    except OSError as exc:
        raise HistoryError(
            f"{folder} cannot be written ({exc}): free space or grant the right to write, then repeat"
        ) from exc
