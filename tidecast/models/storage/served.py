"""The set of series with a champion, updated from the log of moves: listing a large store takes seconds."""

from tidecast.models.store import ModelStore


class Served:
    """The series with a champion in a store."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._position = 0
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        """Return the names of all series with a champion; the same object until they change."""
        is_first = self._position == 0
        self._position, moved = self._store.moves_since(self._position)
        if moved:
            gone = frozenset() if is_first else {name for name in moved if self._store.champion(name) is None}
            names = self._names.union(moved) - gone
            self._names = self._names if names == self._names else names
        return self._names
