"""Write files that are complete or absent, on any file system."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The errors of file systems, containers and access rules for operations that they do not support or allow. For a link
# EACCES and EPERM belong to them, because the file itself could be written in the same folder. Errors of a full or
# failing disk do not.
REFUSALS = {
    *(errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
    *(errno.EMLINK, errno.EXDEV),
}


def write_new(folder: Path, content: bytes) -> Path:
    """Write content to a file with a unique name; return its path."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file, contextlib.ExitStack() as undo:
        undo.callback(os.unlink, name)
        with _unless_refused():  # a file system may not support modes
            os.fchmod(descriptor, 0o644)  # with mkstemp's mode, a worker of another user could not read models
        file.write(content)
        file.flush()
        with _unless_refused():
            os.fsync(descriptor)
        undo.pop_all()
    return Path(name)


def replace(path: Path, content: bytes, through: Path | None = None) -> None:
    """Write or replace a file atomically and durably.

    Args:
        path: of the file.
        content: the new content.
        through: the folder in which the content is written first; None: the file's own.
    """
    temporary = write_new(through or path.parent, content)
    with contextlib.ExitStack() as undo:
        undo.callback(temporary.unlink, missing_ok=True)
        temporary.replace(path)
        undo.pop_all()
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or a directory's entries, to the disk, if the file system supports it."""
    with _unless_refused():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def named_first(temporary: Path, path: Path) -> bool:
    """Give a finished file its name, unless the name is taken; return whether it was free."""
    try:
        os.link(temporary, path)  # a link, unlike a rename, fails when another writer took the name first
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in REFUSALS:
            raise
        return _named_by_reservation(temporary, path)
    return True


def _named_by_reservation(temporary: Path, path: Path) -> bool:
    """Name a file without links: reserve the name with an empty file, and replace that by the finished file.

    An empty file is not a version. If the process is killed in between, the empty file stays, and its number is unused.
    """
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    with contextlib.ExitStack() as undo:
        undo.callback(path.unlink)
        temporary.replace(path)
        undo.pop_all()
    return True


def is_written(path: Path) -> bool:
    """Return whether a file exists and is not empty; an empty file only reserves its name."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _unless_refused() -> Iterator[None]:
    """Ignore errors for unsupported or forbidden operations; raise those of a full or failing disk."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in REFUSALS:
            raise
