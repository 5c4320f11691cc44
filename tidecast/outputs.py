"""Places for results, checked before the work that fills them."""

import os
from pathlib import Path

from tidecast.errors import SettingsError


def check_file(option: str, path: Path) -> None:
    """Make sure that a file can be written, whose folders may have to be made.

    Raises:
        SettingsError: the path is a folder, or nothing can be written there.
    """
    if path.is_dir():
        raise SettingsError(f"{option} is {path}, which is a folder: name a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise SettingsError(f"{option} is {path}, which may not be written: name another file")
    check_folder(option, path.parent)


def check_folder(option: str, path: Path) -> None:
    """Make sure that files can be written to a folder, which may have to be made.

    Raises:
        SettingsError: the path leads through a file, or nothing can be written there.
    """
    nearest = next((folder for folder in (path, *path.parents) if _exists(folder)), Path())
    if not nearest.is_dir():
        raise SettingsError(f"{option} is {path}, but {nearest} is a file: name another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SettingsError(f"{option} is {path}, but {nearest} may not be written: name another place")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as exc:  # a name that is too long, a folder that may not be looked into
        raise SettingsError(f"{path} cannot be used ({exc.strerror}): name another place") from exc
    except ValueError as exc:
        raise SettingsError(f"{str(path)!r} is no path ({exc}): name another place") from exc
