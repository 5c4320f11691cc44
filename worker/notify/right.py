"""The right to post events, which one process has at a time, and the positions that it stores in Redis."""

from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis

from tidecast.client.following import OLDEST
from tidecast.connection.partitions import newest_id
from tidecast.connection.records.notify_record import AFTER, notify_key, read_record
from tidecast.settings import LONGEST_LEASE_S, Settings
from tidecast.wire import id_pair, layout_of
from worker.failures.redis_failures import refusals_explained
from worker.scripts import script_of


class NotifyRight:
    """The lease on posting events.

    Args:
        redis: the server with the record.
        settings: returns the settings with the present number of partitions.
        owner: the name of this process, which no other process has.
        ttl_s: how long the right lasts without being renewed.
    """

    def __init__(self, redis: Redis, settings: Callable[[], Settings], owner: str, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._redis = redis
        self._settings = settings
        self._namespace = settings().namespace
        self._owner = owner
        self._keep = redis.register_script(script_of("notify"))
        self._kept: dict[str, str] = {}  # by stream: the position last stored or seen

    def take(self) -> dict[str, str] | None:
        """Take the right if no process has it; return the position in each stream, or None.

        A stream without a position begins after its newest event: notifications that are turned on today should not
        begin with those of last week. The streams that a repartition has added begin at their start. If the record was
        deleted, as when Redis was emptied, the positions count that this process has stored or seen.
        """
        with refusals_explained():
            taken = self._store(takes=True)
            record = read_record(self._redis, self._namespace)
            self._kept |= record.after if record else {}
            if not taken:
                return None
            known = self._kept
            position: dict[str, str] = {}
            for generation in layout_of(self._settings()).generations():
                streams = [keys.events for keys in generation]
                is_new = bool(known) and not any(stream in known for stream in streams)
                position |= {key: self._position(key, OLDEST if is_new else known.get(key)) for key in streams}
            return position if self.keep(position) else None

    def keep(self, position: Mapping[str, str], **fields: str | int) -> bool:
        """Renew the right, and store positions and other fields of the record; return False if it was lost."""
        positions = {f"{AFTER}{key}": last for key, last in position.items()}
        with refusals_explained():
            kept = self._store(fields={**positions, **fields})
        if kept:
            self._kept |= position
        return kept

    def give_back(self) -> None:
        """Let another process take the right at once."""
        with refusals_explained():
            self._store(ttl_s=0)

    def _position(self, key: str, last: str | None) -> str:
        """Return where to begin in a stream; one that was recreated is read from its start."""
        newest = newest_id(self._redis, key)
        if last is None:
            return newest
        return last if id_pair(last) <= id_pair(newest) else OLDEST

    def _store(
        self, *, takes: bool = False, ttl_s: float | None = None, fields: Mapping[str, str | int] | None = None
    ) -> bool:
        ttl_ms = round(1000 * (self.ttl_s if ttl_s is None else ttl_s))
        args: list[Any] = [self._owner, ttl_ms, int(takes), round(1000 * LONGEST_LEASE_S)]
        for name, value in (fields or {}).items():
            args += (name, value)
        return bool(self._keep(keys=[notify_key(self._namespace)], args=args))
