"""The result of a check, and the input of the checks."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from redis import Redis

from tidecast.connection.partitions import server_ms
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Keys, layout_of


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that a check has detected.

    Attributes:
        check: the name of the check.
        severity: `error`: something does not work or will be lost; `warning`: it works, but needs attention.
        problem: a sentence about it, with its numbers.
        remedy: the action that corrects it.
    """

    check: str
    severity: Literal["error", "warning"]
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Case:
    """The installation that is checked.

    Attributes:
        settings: the settings of this program; those of the workers should be the same.
        redis: the connection for commands on keys; in a cluster it routes them.
        server: the connection to the server in `redis_url`.
        clock: returns the time of this machine, in epoch seconds.
        set_partitions: the setting `partitions`; the settings above have the present number.
    """

    settings: Settings
    redis: Redis
    server: Redis
    clock: Callable[[], float] = field(default=time.time)
    set_partitions: int = 1

    @property
    def store(self) -> ModelStore:
        """The store of the settings."""
        return ModelStore(self.settings.store)

    def partitions(self) -> Iterator[Keys]:
        """Return the keys of each partition."""
        return iter(layout_of(self.settings).present())

    def server_ms(self) -> int:
        """Return the time of Redis in epoch milliseconds; the ends of leases and claims use it."""
        return server_ms(self.server)


Check = Callable[[Case], Iterator[Finding]]  # yields problems only; raises a RedisError if it cannot check


def id_ms(entry_id: bytes | str) -> int:
    """Return the time of arrival in an entry id, in epoch milliseconds."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    return int(text.partition("-")[0])
