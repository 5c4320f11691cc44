"""Reader of one series' readings from the Parquet files of `tidecast archive`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tidecast.wire import id_pair

MOST_FILES = 30  # the newest of a span
GENERATION = b"generation"  # files from before the first repartition may lack it
ABOUT = b"tidecast."  # prefix of the names of the files' metadata
Entry = tuple[str, dict[bytes, bytes]]


def archived(folder: Path, about: dict[bytes, bytes], series: bytes, since_ms: float, until: bytes) -> Iterator[Entry]:
    """Yield a series' readings, newest first.

    Args:
        folder: of the archive.
        about: metadata of the files to read: namespace, partition, number of partitions and generation.
        series: its name.
        since_ms: files whose last reading arrived before are not read.
        until: the entry id that the readings must be before.

    Raises:
        ImportError: the training packages, which read Parquet, are not installed.
        OSError: a file cannot be read.
        ValueError: a file is damaged.
    """
    import pyarrow.parquet as parquet  # imported late: it takes a second, and is part of another extra

    for first, path in sorted(_files(folder, about, since_ms), reverse=True)[:MOST_FILES]:
        if first >= id_pair(until):
            continue
        table: Any = parquet.read_table(path, filters=[("series", "==", series)])
        for row in reversed(table.to_pylist()):
            if id_pair(row["id"]) < id_pair(until):
                yield row["id"].decode(), {field["name"]: field["value"] for field in row["fields"]}


def _files(folder: Path, about: dict[bytes, bytes], since_ms: float) -> Iterator[tuple[tuple[int, int], Path]]:
    """Yield the files with this metadata that reach into the span, each with its first entry id."""
    import pyarrow.parquet as parquet

    for path in folder.glob("*.parquet"):
        metadata: dict[bytes, bytes] = parquet.read_metadata(path).metadata or {}
        metadata.setdefault(ABOUT + GENERATION, b"0")
        ours = all(metadata.get(ABOUT + name) == value for name, value in about.items())
        if ours and id_pair(metadata[ABOUT + b"last"])[0] >= since_ms:
            yield id_pair(metadata[ABOUT + b"first"]), path
