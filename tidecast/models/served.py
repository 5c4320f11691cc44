"""Which series have a champion, kept up by the moves of the pointers: to list a large store takes seconds."""

from tidecast.models.store import ModelStore


class Served:
    """The series that a store's champions answer; none ever loses its champion."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._position = 0
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        """Look at what moved since the last time; the same object while no series is new."""
        self._position, moved = self._store.moves_since(self._position)
        if not self._names.issuperset(moved):
            self._names = self._names.union(moved)
        return self._names
