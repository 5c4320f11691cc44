"""The table of a partition's series by name, as the compiled parser reads it."""

from collections.abc import Sequence

import numpy as np

from tidecast.online.kernels.entries import ODD, Names, hash_of

NO_NAME = -1  # the length of a removed name, which equals that of no other
_SMALLEST = 16  # slots of the table; at most half of them are used


class SeriesNames:
    """A hash table with open addressing: names and features of series by number.

    Attributes:
        names: the table.
        listed: all names by number, those of removed series too.
    """

    def __init__(self) -> None:
        self._size = 0  # of the text
        self._known: dict[str, tuple[int, int]] = {}  # where a feature's name begins in the text, and its length
        self.listed: list[str] = []
        self.names = Names(
            np.full(_SMALLEST, ODD),
            np.zeros(_SMALLEST // 2, np.uint64),
            np.zeros(0, np.uint8),
            np.zeros((_SMALLEST // 2, 2), np.int64),
            np.zeros((_SMALLEST // 2, 1, 2), np.int64),
        )

    def add(self, series: str) -> None:
        """Add the series of the next number."""
        number = len(self.listed)
        self.listed.append(series)
        if 2 * len(self.listed) > len(self.names.slots):
            self._grow(4 * len(self.listed))
        begin, length = self._append(series)
        self.names.series[number] = begin, length
        self.names.hashes[number] = hash_of(self.names.text, begin, length)
        _insert(self.names, number)

    def remove(self, number: int) -> None:
        """Let no name lead to the series of this number any more; its slot in the table stays taken."""
        self.names.series[number] = 0, NO_NAME

    def set_features(self, number: int, features: Sequence[str]) -> None:
        """Set the features of a series, the target first."""
        names = self.names
        most = names.features.shape[1]
        if len(features) > most:
            wider = np.pad(names.features, ((0, 0), (0, len(features) - most), (0, 0)))
            self.names = names = names._replace(features=wider)
        names.features[number, len(features) :] = 0
        for column, feature in enumerate(features):
            if feature not in self._known:
                self._known[feature] = self._append(feature)
            names.features[number, column] = self._known[feature]

    def _append(self, name: str) -> tuple[int, int]:
        """Append a name to the text; return where it begins, and its length."""
        raw = name.encode()
        begin = self._size
        self._size += len(raw)
        text = self.names.text
        if self._size > len(text):
            longer = np.zeros(2 * self._size, np.uint8)
            longer[: len(text)] = text
            text = longer
            self.names = self.names._replace(text=text)
        text[begin : self._size] = np.frombuffer(raw, np.uint8)
        return begin, len(raw)

    def _grow(self, room: int) -> None:
        """Make room for twice as many series, and sort them into a larger table."""
        old = self.names
        slots = np.full(1 << (room - 1).bit_length(), ODD)
        more = len(slots) // 2 - len(old.series)
        self.names = old._replace(
            slots=slots,
            hashes=np.pad(old.hashes, (0, more)),
            series=np.pad(old.series, ((0, more), (0, 0))),
            features=np.pad(old.features, ((0, more), (0, 0), (0, 0))),
        )
        for number in range(len(self.listed) - 1):
            _insert(self.names, number)


def _insert(names: Names, number: int) -> None:
    mask = len(names.slots) - 1
    at = int(names.hashes[number]) & mask
    while names.slots[at] != ODD:
        at = (at + 1) & mask
    names.slots[at] = number
