"""The names of the files in the folder of a series."""

import json
import os
from pathlib import Path
from typing import Any

SUFFIX = ".safetensors"
MOST_BYTES = 2**20  # of a small file


def content_of(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file, at most so many bytes; a file object would take four times as long.

    Raises:
        OSError: the file cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
