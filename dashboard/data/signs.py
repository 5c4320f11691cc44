"""The signs that something is wrong with a series, beside its forecasts: conditions, dead letters, drifts and mutes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from redis import Redis

from tidecast.connection.partitions import newest_entries
from tidecast.connection.records.mutes import Mute, read_mutes
from tidecast.errors import StateError
from tidecast.online.series.condition import state_of_head
from tidecast.settings import Settings
from tidecast.wire import Event, Keys, id_pair, layout_of

PIECE = 200  # states of one reply
AGAIN_READS = 10  # after so many reads the series in trouble are read again, as not every change is an event
DEAD_READ = 200  # dead letters of a partition in one read; of more, the newest
FINE = "ok"
DRIFTS = ("drift", "level_changed")
JUDGED = ("promoted", "refused", "rolled_back", "confirmed")  # they answer a drift
CONDITIONS = ("anomaly", "stuck", "unstuck", "silent", "back", "model_degraded", *JUDGED)  # they change a condition


@dataclass(slots=True)
class Signs:
    """Conditions of series beside their forecasts; a series that is not in a mapping is in order there.

    Attributes:
        conditions: by series, the condition that its worker stored: anomalous, stuck, silent or degraded.
        dead_ms: by series, the time of its newest dead letter, epoch milliseconds.
        drifting: the series whose drift no new version has answered yet.
        mutes: by series that is muted now.
    """

    conditions: dict[str, str] = field(default_factory=dict)
    dead_ms: dict[str, float] = field(default_factory=dict)
    drifting: set[str] = field(default_factory=set)
    mutes: dict[str, Mute] = field(default_factory=dict)

    def note(self, event: Event, series: str) -> None:
        """Take in an event of a series."""
        if event.kind in DRIFTS:
            self.drifting.add(series)
        elif event.kind in JUDGED:
            self.drifting.discard(series)

    def put(self, conditions: Mapping[str, str]) -> None:
        """Take in the conditions of some series."""
        for series, condition in conditions.items():
            if condition == FINE:
                self.conditions.pop(series, None)
            else:
                self.conditions[series] = condition

    def forget(self, series: str) -> None:
        """Remove what is known of a series that is gone."""
        self.conditions.pop(series, None)
        self.dead_ms.pop(series, None)
        self.drifting.discard(series)


class SignReader:
    """A reader of the mutes, the new dead letters, and the conditions of the series that had an event.

    Args:
        settings: where they are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = layout_of(settings)
        self._keys = self._layout.present()
        self._dead_position: dict[str, str] = {}
        self._due: set[str] = set()
        self._reads = 0

    def request(self, series: Iterable[str]) -> None:
        """Let the next call of `conditions` read these series."""
        self._due.update(series)

    def mutes(self, redis: Redis, now_ms: float) -> dict[str, Mute]:
        """Return all series that are muted now."""
        return {series: mute for keys in self._keys for series, mute in read_mutes(redis, keys, now_ms).items()}

    def dead(self, redis: Redis) -> dict[str, float]:
        """Return by series the time of its newest dead letter since the last call, epoch milliseconds."""
        times: dict[str, float] = {}
        for keys in self._keys:
            since = self._dead_position.get(keys.dead)
            letters = list(newest_entries(redis, keys.dead, DEAD_READ, f"({since}" if since else "-"))
            if letters:
                self._dead_position[keys.dead] = letters[0][0].decode()
            for entry_id, fields in reversed(letters):
                times[fields.get(b"original.series", b"").decode(errors="replace")] = float(id_pair(entry_id)[0])
        return times

    def conditions(self, redis: Redis, troubled: Iterable[str]) -> dict[str, str]:
        """Return the conditions of the series that are due; from time to time those in trouble are due too.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        self._reads += 1
        if self._reads % AGAIN_READS == 0:
            self._due.update(troubled)
        by_partition: dict[int, list[str]] = {}
        for series in self._due:
            by_partition.setdefault(self._layout.partition_of(series), []).append(series)
        conditions: dict[str, str] = {}
        for partition, names in by_partition.items():
            conditions |= _conditions_of(redis, self._keys[partition], names)
        self._due.clear()
        return conditions


def _conditions_of(redis: Redis, keys: Keys, names: list[str]) -> dict[str, str]:
    conditions: dict[str, str] = {}
    for first in range(0, len(names), PIECE):
        piece = names[first : first + PIECE]
        heads = cast("list[bytes | None]", redis.hmget(keys.state, cast("Any", piece)))
        conditions |= {name: _condition(head) for name, head in zip(piece, heads, strict=True)}
    return conditions


def _condition(head: bytes | None) -> str:
    try:
        return state_of_head(head) if head else FINE
    except StateError:
        return FINE  # the worker and the doctor report it
