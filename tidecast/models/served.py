"""The set of series with a champion, updated from the log of moves: listing a large store takes seconds."""

from tidecast.models.store import ModelStore


class Served:
    """The series with a champion in a store; a series never loses its champion."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._position = 0
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        """Return the names of all series with a champion; the same object while there are no new ones."""
        self._position, moved = self._store.moves_since(self._position)
        if not self._names.issuperset(moved):
            self._names = self._names.union(moved)
        return self._names
