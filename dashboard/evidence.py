"""What the model store says of series: champions, versions and their evidence, read when somebody looks."""

import time
from collections.abc import Callable
from pathlib import Path

from tidecast.errors import TidecastError
from tidecast.model import Header
from tidecast.store import ModelStore, Version

NAMES_EVERY_S = 5.0
HEADERS_KEPT = 2000


class Evidence:
    """A store's contents as the pages ask for them; a header, which never changes, is read once."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = ModelStore(root)
        self._clock = clock
        self._names: list[str] = []
        self._names_until = float("-inf")
        self._position = -1
        self._headers: dict[tuple[str, int], Header] = {}

    def served(self) -> list[str]:
        """Every series with a champion, looked up again once a pointer has moved."""
        if self._clock() >= self._names_until:
            position, moved = self.store.moves_since(max(0, self._position))
            if moved or position != self._position:
                self._names = self.store.served() if self.store.root.is_dir() else []
            self._position = position
            self._names_until = self._clock() + NAMES_EVERY_S
        return self._names

    def header(self, series: str, version: int) -> Header | None:
        """What a version is; None where it was pruned, or cannot be read."""
        key = (series, version)
        if key not in self._headers:
            if len(self._headers) >= HEADERS_KEPT:
                self._headers.clear()
            try:
                self._headers[key] = self.store.header(series, version)
            except (TidecastError, OSError):
                return None
        return self._headers[key]

    def versions(self, series: str) -> list[Version]:
        """A series' versions that can be read, newest first."""
        numbers = self.store.versions(series)
        champion = self.champion(series)
        found = [(number, self.header(series, number)) for number in reversed(numbers)]
        return [Version(series, number, number == champion, header) for number, header in found if header]

    def champion(self, series: str) -> int | None:
        """The version that answers; None where none does."""
        try:
            return self.store.champion(series)
        except TidecastError:
            return None
