"""Give recorded readings the present names of their series, and leave out those of series that were deleted since."""

from collections.abc import Iterable

from tidecast.connection.paging import Page, RawEntry
from tidecast.models.storage.moves_log import Ending


class FormerNames:
    """The names that ended, with the times from which a later reading belongs to another series.

    Args:
        endings: oldest first.
    """

    def __init__(self, endings: Iterable[Ending]) -> None:
        self._endings: dict[bytes, list[Ending]] = {}
        for ending in endings:
            self._endings.setdefault(ending.series.encode(), []).append(ending)

    def applied(self, page: Page) -> Page:
        """Return a page with the present names; entries of deleted series are left out."""
        if not self._endings:
            return page
        return [entry for raw in page if (entry := self._entry(raw)) is not None]

    def _entry(self, entry: RawEntry) -> RawEntry | None:
        fields = entry[1]
        place = next((i for i in range(0, len(fields), 2) if fields[i] == b"series"), None)
        if place is None or fields[place + 1] not in self._endings:
            return entry
        name = self._present(fields[place + 1], int(entry[0].partition(b"-")[0]))
        return None if name is None else [entry[0], [*fields[: place + 1], name, *fields[place + 2 :]]]

    def _present(self, name: bytes, ms: int) -> bytes | None:
        """Return the present name of the series that had a name at a time; None if it was deleted."""
        while ending := next((each for each in self._endings.get(name, ()) if each.at_ms >= ms), None):
            if ending.new is None:
                return None
            name = ending.new.encode()
            ms = ending.at_ms + 1
        return name
