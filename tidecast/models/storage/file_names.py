"""The files in the folder of a series: their names, and the next version."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, Self

from tidecast.durable import named_first, sync

SUFFIX = ".safetensors"
VERSIONS = f"[0-9]*{SUFFIX}"
MOST_BYTES = 2**20  # of a small file
PUBLISHED = b"published"  # follows the number in a pointer's file


class Pointer(NamedTuple):
    """The content of a series' pointer.

    Attributes:
        version: the champion.
        published: whether it became champion by being published, not by hand or by a rollback.
    """

    version: int
    published: bool

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Read a pointer's file; raise ValueError if it holds no number."""
        version, _, word = content.partition(b" ")
        return cls(int(version), word.strip() == PUBLISHED)

    def encode(self) -> bytes:
        """Return the content of its file."""
        return b"%d %s" % (self.version, PUBLISHED) if self.published else b"%d" % self.version


def content_of(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file, at most so many bytes; a file object would take four times as long.

    Raises:
        OSError: the file cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in its place must not stop us
    try:
        size = os.fstat(handle).st_size
        content = os.read(handle, min(size + 1, most))
        while len(content) not in (size, most) and (more := os.read(handle, most - len(content))):
            content += more
        return content
    finally:
        os.close(handle)


def has_files(folder: str, *names: str) -> bool:
    """Return whether a folder has files of all these names."""
    return all(os.access(f"{folder}/{name}", os.F_OK) for name in names)


def names_in(folder: Path | str) -> dict[str, Any]:
    """Return the content of `series.json`: the name `series`, and a list `former` if the series was renamed."""
    names: dict[str, Any] = json.loads(content_of(f"{folder}/series.json"))
    return names


def name_in(folder: Path | str) -> str:
    """Return the name of the series of a folder."""
    name: str = names_in(folder)["series"]
    return name


def version_file(number: int) -> str:
    """Return the name of the file of a version."""
    return f"{number:06d}{SUFFIX}"


def version_number(file: Path) -> int:
    """Return the version of a file."""
    return int(file.name.removesuffix(SUFFIX))


def add_version(folder: Path, file: Path) -> int:
    """Give a finished file the first free number of a version; return the number."""
    number = max(map(version_number, folder.glob(VERSIONS)), default=0) + 1
    while not named_first(file, folder / version_file(number)):
        number += 1
    sync(folder)
    return number
