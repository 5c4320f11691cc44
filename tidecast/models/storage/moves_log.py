"""The log of a store: one line for each new champion, and for each series that is deleted or renamed."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a series' name.

    Attributes:
        series: the name.
        at_ms: when it ended, epoch milliseconds.
        new: the new name of the series; None: it was deleted.
    """

    series: str
    at_ms: int
    new: str | None


class MovesLog:
    """The file `moves.log` of a store; each line is a JSON object.

    A line has `series`, its new champion's `version` and the time `at_ms`. A version of null: the series was deleted,
    or renamed to `new`.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, *moves: tuple[str, int | None], **more: str) -> None:
        """Append a line for each pair of a series and its new champion; raise OSError if the file cannot be written."""
        at_ms = time.time_ns() // 1_000_000
        lines = [{"series": series, "version": version, "at_ms": at_ms, **more} for series, version in moves]
        with self._path.open("a") as log:  # one short write in append mode: lines stay whole beside other writers
            log.write("".join(json.dumps(line) + "\n" for line in lines))

    def since(self, position: int) -> tuple[int, list[str] | None]:
        """Return the series named after byte `position`: (new position, names).

        The names are None, for any series, at position 0, after a damaged line, and if the log has become shorter.
        """
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return 0, []
        if size == position:
            return position, []
        start = position if position < size else 0
        with self._path.open("rb") as log:
            log.seek(start)
            lines, newline, _ = log.read().rpartition(b"\n")
        if not newline:
            return start, []
        return start + len(lines) + 1, _named(lines) if start else None

    def promoted(self, series: str) -> list[int]:
        """Return every version that was ever champion of a series, oldest first, since it was last deleted."""
        versions: dict[int, None] = {}
        for move in self._moves():
            if move["series"] == series and move["version"] is None:
                versions.clear()
            elif move["series"] == series:
                versions.pop(move["version"], None)
                versions[move["version"]] = None
        return list(versions)

    def endings(self) -> Iterator[Ending]:
        """Yield the ends of all names, oldest first."""
        for move in self._moves():
            if move["version"] is None:
                yield Ending(move["series"], int(move.get("at_ms", 0)), move.get("new"))

    def _moves(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that can be read, oldest first."""
        if not self._path.exists():
            return
        whole = self._path.read_bytes().rpartition(b"\n")[0]  # the last line may still be in writing
        for line in whole.splitlines():
            try:
                move = json.loads(line)
            except ValueError:
                continue
            if isinstance(move, dict) and {"series", "version"} <= move.keys():
                yield move


def _named(lines: bytes) -> list[str] | None:
    """Return the series named in lines of the log, each once; None if a line is damaged."""
    try:
        return list(dict.fromkeys(json.loads(line)["series"] for line in lines.splitlines()))
    except (ValueError, LookupError, TypeError):
        return None
