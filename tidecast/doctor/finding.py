"""What a check has found, and what checks have before them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from redis import Redis

from tidecast.connection.partitions import server_ms
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Keys, keys_of


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        check: the name of the check.
        severity: `wrong`: something does not work or will be lost; `warning`: it works, but look at it.
        found: a sentence with the figures.
        remedy: what to do.
    """

    check: str
    severity: Literal["wrong", "warning"]
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Case:
    """An installation as the checks see it.

    Attributes:
        settings: as this program was given them; the workers' should be the same.
        redis: for the keys, wherever they are.
        server: the server that `redis_url` names.
        clock: the time here, in epoch seconds.
    """

    settings: Settings
    redis: Redis
    server: Redis
    clock: Callable[[], float] = field(default=time.time)

    @property
    def store(self) -> ModelStore:
        """The store that the settings name."""
        return ModelStore(self.settings.store)

    def partitions(self) -> Iterator[Keys]:
        """The keys of each partition."""
        count = self.settings.partitions
        return (keys_of(partition, count, self.settings.namespace) for partition in range(count))

    def server_ms(self) -> int:
        """Redis' own time, epoch milliseconds, by which leases and claims end."""
        return server_ms(self.server)


Check = Callable[[Case], Iterator[Finding]]  # nothing is yielded where all is well; a RedisError: it cannot look


def id_ms(entry_id: bytes | str) -> int:
    """When an entry arrived, by its id, in epoch milliseconds."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    return int(text.partition("-")[0])
