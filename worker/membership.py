"""Track the live workers and the layout, so that each worker takes its fair share of the present partitions."""

import math
from typing import cast

from redis import Redis

from tidecast.connection.partitions import decode_layout
from tidecast.settings import LONGEST_LEASE_S
from tidecast.wire import Layout, common_keys
from worker.failures.stored_times import log_correction
from worker.scripts import script_of

EVERY_S = 0.5  # how often a worker registers as alive; a released partition is taken over within this time
OFTEN_S = 0.05  # the same during a repartition, as no reading is answered meanwhile
SILENT_S = 0.3  # after it a silent worker gets no share of the new partitions; the leases that it has stay valid


def claim_layout(redis: Redis, layout: Layout) -> Layout:
    """Store a layout in Redis, unless one is stored; return the stored one.

    Raises:
        SettingsError: Redis stores no valid layout.
    """
    key = common_keys(layout.namespace)[0]
    redis.set(key, layout.encode(), nx=True)
    stored = cast("bytes | None", redis.get(key))  # None: it was evicted or deleted just now
    return decode_layout(key, stored, layout.namespace) if stored else layout


class Membership:
    """The live workers of one namespace, by the server's clock.

    Args:
        redis: the server with the list of workers.
        layout: the layout that the worker serves.
        name: this worker's name.
        lease_s: how long a silent worker counts as alive.

    Attributes:
        layout: the layout that Redis had at the last look.
        hurried: whether to look more often, and share the partitions without silent workers, because of a repartition.
    """

    def __init__(self, redis: Redis, layout: Layout, name: str, lease_s: float) -> None:
        self.layout = layout
        self.hurried = False
        self._redis = redis
        self._join = redis.register_script(script_of("join"))
        self._key = common_keys(layout.namespace)[1]
        self._name = name
        self._lease_s = lease_s
        self._joined_at = -math.inf
        self._dies_at = math.inf  # when the first other worker counts as dead, unless it registers again
        self._alive = 1

    @property
    def every_s(self) -> float:
        """Return how long to wait between two looks, and between two tries to acquire a partition."""
        return OFTEN_S if self.hurried else min(EVERY_S, self._lease_s / 3)

    def share(self, partitions: int) -> int:
        """Return this worker's fair share of the partitions: their number divided by the workers, rounded up."""
        return -(-partitions // self._alive)

    def look(self, now: float) -> bool:
        """Register as alive, and read who else is and the layout, if it is due; return whether it was.

        Raises:
            RedisError: Redis cannot be read or written.
            SettingsError: Redis stores no valid layout.
        """
        if 0 <= now - self._joined_at < self.every_s and now < self._dies_at:  # below 0 the clock was set back
            return False
        self.layout = claim_layout(self._redis, self.layout)
        alive, cut, first_ms = self._register(self._lease_s)
        self._dies_at = now + first_ms / 1000 if first_ms >= 0 else math.inf
        self._alive = max(1, len(alive))
        for name, stored in zip(cut[::2], cut[1::2], strict=True):
            place = f"{self._key} {name.decode(errors='backslashreplace')}"
            log_correction(place, stored, f"it counts as alive for {self._lease_s:g} s from now")
        self._joined_at = now
        return True

    def look_soon(self) -> None:
        """Let the next look be due at once."""
        self._joined_at = -math.inf

    def leave(self) -> None:
        """Remove this worker from the list, so that the others share its partitions."""
        self._register(0)

    def _register(self, alive_s: float) -> tuple[list[bytes], list[bytes], int]:
        silent_s = min(SILENT_S, alive_s) if self.hurried else alive_s
        args: list[str | int] = [self._name, *(round(1000 * each) for each in (alive_s, LONGEST_LEASE_S, silent_s))]
        return cast("tuple[list[bytes], list[bytes], int]", self._join(keys=[self._key], args=args))
