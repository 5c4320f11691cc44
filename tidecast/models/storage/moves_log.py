"""The log of a store: one line for each new champion, and for each series that is deleted or renamed."""

import json
import time
from collections.abc import Iterable, Iterator
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
        self._read_to = 0  # bytes of the log that `_champions` contains
        self._champions: dict[str, dict[int, None]] = {}  # every version that was champion, by series, the latest last
        self._endings: list[Ending] = []  # in the first `_endings_to` bytes
        self._endings_to = 0

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
        start, end, lines = self._lines(position)
        return end, (_named(lines) if start else None) if lines else []

    def promoted(self, series: str) -> list[int]:
        """Return every version that was ever champion of a series, oldest first, since it was last deleted."""
        start, self._read_to, lines = self._lines(self._read_to)
        if not start:
            self._champions.clear()
        for move in _moves(lines):
            versions = self._champions.setdefault(move["series"], {})
            if move["version"] is None:
                versions.clear()
            else:
                versions.pop(move["version"], None)
                versions[move["version"]] = None
        return list(self._champions.get(series, ()))

    def endings(self) -> list[Ending]:
        """Return the ends of all names, oldest first. A further call reads only the lines since."""
        start, self._endings_to, lines = self._lines(self._endings_to)
        if not start:
            self._endings.clear()
        for move in _moves(line for line in lines if b"null" in line):
            if move["version"] is None:
                self._endings.append(Ending(move["series"], int(move.get("at_ms", 0)), move.get("new")))
        return list(self._endings)

    def _lines(self, position: int) -> tuple[int, int, list[bytes]]:
        """Return the whole lines after byte `position`: (their begin, their end, the lines).

        They begin at 0 if the log has become shorter.
        """
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return 0, 0, []
        start = position if position <= size else 0
        if start == size:
            return start, size, []
        with self._path.open("rb") as log:
            log.seek(start)
            lines, newline, _ = log.read().rpartition(b"\n")  # the last line may still be in writing
        return start, start + len(lines) + len(newline), lines.splitlines()


def _moves(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the moves of lines that can be read."""
    for line in lines:
        try:
            move = json.loads(line)
        except ValueError:
            continue
        if isinstance(move, dict) and {"series", "version"} <= move.keys():
            yield move


def _named(lines: Iterable[bytes]) -> list[str] | None:
    """Return the series named in lines of the log, each once; None if a line is damaged."""
    try:
        return list(dict.fromkeys(json.loads(line)["series"] for line in lines))
    except (ValueError, LookupError, TypeError):
        return None
