"""Champions, versions and their evidence from the model store, read on demand."""

from pathlib import Path

from tidecast.errors import TidecastError
from tidecast.models.model import Header
from tidecast.models.store import ModelStore, Version

HEADERS_KEPT = 2000


class EvidenceReader:
    """A reader of the model store that keeps headers in memory, as they never change."""

    def __init__(self, root: Path) -> None:
        self.store = ModelStore(root)
        self._headers: dict[tuple[str, int], Header] = {}

    def header(self, series: str, version: int) -> Header | None:
        """Return a version's header; None if the version was pruned or cannot be read."""
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
        """Return a series' readable versions, newest first."""
        numbers = self.store.versions(series)
        champion = self.champion(series)
        headers = [(number, self.header(series, number)) for number in reversed(numbers)]
        return [Version(series, number, number == champion, header) for number, header in headers if header]

    def champion(self, series: str) -> int | None:
        """Return the number of the champion; None without one."""
        try:
            return self.store.champion(series)
        except TidecastError:
            return None
