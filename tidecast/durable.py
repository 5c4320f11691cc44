"""Files that are whole or not there, whatever the file system can do."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The errors by which file systems, containers and access rules refuse what they cannot do or do not allow. For a link
# EACCES and EPERM are such errors too: the file itself could be written in the same folder. A full or failing disk is
# another matter.
REFUSALS = {
    *(errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
    *(errno.EMLINK, errno.EXDEV),
}


def write_new(folder: Path, content: bytes) -> Path:
    """Write content to a file with a name of its own; returns its path."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file, contextlib.ExitStack() as undo:
        undo.callback(os.unlink, name)
        with _unless_refused():  # a file system may have no modes
            os.fchmod(descriptor, 0o644)  # mkstemp's own mode would hide models from a worker of another user
        file.write(content)
        file.flush()
        with _unless_refused():
            os.fsync(descriptor)
        undo.pop_all()
    return Path(name)


def replace(path: Path, content: bytes) -> None:
    """Let a file hold this content, at once and for good, whether it was there before or not."""
    temporary = write_new(path.parent, content)
    with contextlib.ExitStack() as undo:
        undo.callback(temporary.unlink, missing_ok=True)
        temporary.replace(path)
        undo.pop_all()
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file, or a directory's entries, on the disk, where the file system knows how."""
    with _unless_refused():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def named_first(temporary: Path, path: Path) -> bool:
    """Give a finished file its name, unless it is taken; returns whether it was free."""
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
    """Do the same without links: reserve the name by an empty file, and let the finished one take its place.

    An empty file is not a version. If we are killed in between it stays, and its number goes unused.
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
    """Return whether a file is there; an empty one only reserves its name."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _unless_refused() -> Iterator[None]:
    """Go on where the file system does not do what is asked for; a full or failing disk is an error."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in REFUSALS:
            raise
