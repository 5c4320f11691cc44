"""Who else is at work: every worker says so now and then, and each takes its fair share of the partitions."""

import math
from typing import cast

from redis import Redis

from tidecast.connection.partitions import check_partitions
from tidecast.settings import LONGEST_LEASE_S
from worker.scripts import script_of
from worker.stored import tell

EVERY_S = 0.5  # how often a worker says that it is alive: a partition that is given up is taken up as soon


def claim_partitions(redis: Redis, key: str, partitions: int) -> None:
    """Write down how many partitions there are, once and for all; or check it.

    Raises:
        SettingsError: other programs of this namespace were started with another number.
    """
    redis.set(key, partitions, nx=True)
    check_partitions(key, cast("bytes", redis.get(key)), partitions)


class Roster:
    """The workers of one namespace, by the server's clock.

    Args:
        redis: where they meet.
        keys: of the number of partitions, and of the workers.
        name: this worker's.
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
        """How many partitions are this worker's fair share: as many as the others', one more where they don't divide.

        Raises:
            RedisError: the roster cannot be kept.
            SettingsError: somebody has deleted the number of partitions and written another one.
        """
        if not 0 <= now - self._joined_at < min(EVERY_S, self._lease_s / 3):  # below 0 the clock was set back
            claim_partitions(self._redis, self._number, partitions)
            alive, cut = self._say(self._lease_s)
            self._alive = max(1, len(alive))
            for name, stored in zip(cut[::2], cut[1::2], strict=True):
                place = f"{self._key} {name.decode(errors='backslashreplace')}"
                tell(place, stored, f"it counts as alive for {self._lease_s:g} s from now")
            self._joined_at = now
        return -(-partitions // self._alive)

    def leave(self) -> None:
        """Let the others share what was this worker's."""
        self._say(0)

    def _say(self, alive_s: float) -> list[list[bytes]]:
        args: list[str | int] = [self._name, round(alive_s * 1000), round(LONGEST_LEASE_S * 1000)]
        return cast("list[list[bytes]]", self._join(keys=[self._key], args=args))
