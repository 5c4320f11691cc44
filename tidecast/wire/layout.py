"""The layout: how many partitions there are, and how many there were before."""

import re
from dataclasses import dataclass
from itertools import chain
from math import gcd

from tidecast.settings import Settings
from tidecast.wire.keys import Keys, keys_of, partition_of

_STORED = re.compile(r"[1-9][0-9]{0,2}(,[1-9][0-9]{0,2})*")


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of one generation.

    Attributes:
        generation: how many repartitions there were before.
        partition: the number of the partition.
        partitions: how many there were.
        keys: its keys.
    """

    generation: int
    partition: int
    partitions: int
    keys: Keys


@dataclass(frozen=True, slots=True)
class Layout:
    """The partitions of all generations; each repartition begins a generation, whose partitions have their own keys.

    Attributes:
        numbers: the number of partitions of each generation, the present one last.
        namespace: the prefix of the keys.
    """

    numbers: tuple[int, ...] = (1,)
    namespace: str = ""

    @classmethod
    def decode(cls, stored: str, namespace: str = "") -> "Layout | None":
        """Return the layout that Redis stores; None if the text is not one."""
        return cls(tuple(map(int, stored.split(","))), namespace) if _STORED.fullmatch(stored) else None

    def encode(self) -> bytes:
        """Return the text that Redis stores, such as `1,16`."""
        return ",".join(map(str, self.numbers)).encode()

    @property
    def partitions(self) -> int:
        """Return the present number of partitions."""
        return self.numbers[-1]

    @property
    def generation(self) -> int:
        """Return how many repartitions there were."""
        return len(self.numbers) - 1

    @property
    def has_front_door(self) -> bool:
        """Return whether the plain stream of readings is routed, as it is not that of a present partition."""
        return self.numbers != (1,)

    def after(self, partitions: int) -> "Layout":
        """Return the layout after a repartition."""
        return Layout((*self.numbers, partitions), self.namespace)

    def partition_of(self, series: str) -> int:
        """Return the present partition of a series."""
        return partition_of(series, self.partitions)

    def keys(self, partition: int) -> Keys:
        """Return the keys of a present partition."""
        return self._keys(self.generation, partition)

    def keys_for(self, series: str) -> Keys:
        """Return the keys of the present partition of a series."""
        return self.keys(self.partition_of(series))

    def present(self) -> list[Keys]:
        """Return the keys of the present partitions, in their order."""
        return [self.keys(partition) for partition in range(self.partitions)]

    def former(self) -> list[Keys]:
        """Return the keys of the partitions of former generations, the oldest first."""
        return list(chain.from_iterable(self.generations()[:-1]))

    def generations(self) -> list[list[Keys]]:
        """Return the keys of the partitions by generation, the oldest first."""
        return [
            [self._keys(generation, partition) for partition in range(number)]
            for generation, number in enumerate(self.numbers)
        ]

    def every_part(self) -> list[Part]:
        """Return the partitions of all generations, the oldest first."""
        return [
            Part(generation, number, partitions, self._keys(generation, number))
            for generation, partitions in enumerate(self.numbers)
            for number in range(partitions)
        ]

    def parts_of(self, partition: int) -> list[Part]:
        """Return the partitions of all generations that had series of a present partition, the oldest first."""
        return [
            part
            for part in self.every_part()
            if (part.partition - partition) % gcd(part.partitions, self.partitions) == 0
        ]

    def parts_for(self, series: str) -> list[Part]:
        """Return the partition of a series in each generation, the present one first."""
        return [part for part in self.every_part()[::-1] if partition_of(series, part.partitions) == part.partition]

    def _keys(self, generation: int, partition: int) -> Keys:
        return keys_of(partition, self.numbers[generation], self.namespace, generation)


def layout_of(settings: Settings) -> Layout:
    """Return the layout that the settings describe; before `at_present` the first one."""
    return Layout((*settings.former_partitions, settings.partitions), settings.namespace)
