"""Track the live workers, so that each takes its fair share of the partitions."""

import math
from typing import cast

from redis import Redis

from tidecast.connection.partitions import check_partitions
from tidecast.settings import LONGEST_LEASE_S
from worker.scripts import script_of
from worker.stored_times import log_correction

EVERY_S = 0.5  # how often a worker registers as alive; a released partition is taken over within this time


def claim_partitions(redis: Redis, key: str, partitions: int) -> None:
    """Store the number of partitions in Redis, or check it against the stored one.

    Raises:
        SettingsError: other programs of this namespace were started with another number.
    """
    redis.set(key, partitions, nx=True)
    check_partitions(key, cast("bytes", redis.get(key)), partitions)


class Membership:
    """The live workers of one namespace, by the server's clock.

    Args:
        redis: the server with the list of workers.
        keys: the key of the number of partitions, and the key of the workers.
        name: this worker's name.
        lease_s: how long a silent worker counts as alive.
    """

    def __init__(self, redis: Redis, keys: tuple[str, str], name: str, lease_s: float) -> None:
        self._redis = redis
        self._join = redis.register_script(script_of("join"))
        self._number, self._key = keys
        self._name = name
        self._lease_s = lease_s
        self._joined_at = -math.inf
        self._alive = 1

    def share(self, partitions: int, now: float) -> int:
        """Return this worker's fair share of the partitions: their number divided by the workers, rounded up.

        Raises:
            RedisError: the list of workers cannot be read or written.
            SettingsError: another number of partitions was stored in Redis since the start.
        """
        if not 0 <= now - self._joined_at < min(EVERY_S, self._lease_s / 3):  # below 0 the clock was set back
            claim_partitions(self._redis, self._number, partitions)
            alive, cut = self._register(self._lease_s)
            self._alive = max(1, len(alive))
            for name, stored in zip(cut[::2], cut[1::2], strict=True):
                place = f"{self._key} {name.decode(errors='backslashreplace')}"
                log_correction(place, stored, f"it counts as alive for {self._lease_s:g} s from now")
            self._joined_at = now
        return -(-partitions // self._alive)

    def leave(self) -> None:
        """Remove this worker from the list, so that the others share its partitions."""
        self._register(0)

    def _register(self, alive_s: float) -> list[list[bytes]]:
        args: list[str | int] = [self._name, round(alive_s * 1000), round(LONGEST_LEASE_S * 1000)]
        return cast("list[list[bytes]]", self._join(keys=[self._key], args=args))
