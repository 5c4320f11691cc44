"""What the model store says of series: champions, versions and their evidence, read when somebody looks."""

from pathlib import Path

from tidecast.errors import TidecastError
from tidecast.models.model import Header
from tidecast.models.store import ModelStore, Version

HEADERS_KEPT = 2000


class Evidence:
    """A store's contents as the pages ask for them; a header, which never changes, is read once."""

    def __init__(self, root: Path) -> None:
        self.store = ModelStore(root)
        self._headers: dict[tuple[str, int], Header] = {}

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
