"""Check places for results before the work begins, and lay out tables that fit a terminal."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tidecast.errors import SettingsError

LEAST_TEXT = 8  # characters of a line of text in a table


def check_file(option: str, path: Path) -> None:
    """Check that a file can be written; its folders need not exist yet.

    Raises:
        SettingsError: the path is a folder, or cannot be written.
    """
    if _exists(path) and path.is_dir():
        raise SettingsError(f"{option} is {path}, which is a directory: name a file")
    if _exists(path) and not os.access(path, os.W_OK):
        raise SettingsError(f"{option} is {path}, which cannot be written: name another file")
    _check_way(option, path, path.parent)


def check_folder(option: str, path: Path) -> None:
    """Check that files can be written to a folder, which need not exist yet.

    Raises:
        SettingsError: the path leads through a file, or cannot be written.
    """
    _check_way(option, path, path)


class PlainTable(Table):
    """A table that shows its cells as they are: Rich itself would take `[west]` in `pump[west]` for a style."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; see `rich.table.Table.add_row`."""
        super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def table_of(*columns: str, texts: Collection[str]) -> PlainTable:
    """Return an empty table that fits 80 characters: numbers stay whole, and long texts take several lines.

    Args:
        columns: the titles.
        texts: the columns that are not numbers.
    """
    table = PlainTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title in columns:
        if title in texts:
            table.add_column(title, overflow="fold", min_width=LEAST_TEXT)
        else:
            table.add_column(title, justify="right", no_wrap=True)
    return table


def _check_way(option: str, path: Path, folder: Path) -> None:
    """Check that a folder exists and is writable, or can be made."""
    nearest = next((each for each in (folder, *folder.parents) if _exists(each)), Path())
    if not nearest.is_dir():
        raise SettingsError(f"{option} is {path}, but {nearest} is a file: name another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SettingsError(f"{option} is {path}, but {nearest} cannot be written: name another place")


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:  # a name that is too long, a folder that is not readable
        raise SettingsError(f"{path} cannot be used ({exc.strerror}): name another place") from exc
    except ValueError as exc:  # a null character
        raise SettingsError(f"{str(path)!r} is not a path: name another place") from exc
    return True
