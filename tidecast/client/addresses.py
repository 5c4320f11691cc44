"""The streams of readings, forecasts and events that the settings name, and the check of readings to send."""

import math
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from tidecast.client.entries import NewReading, Time, Values, entries_of, entry_of, known_entry_of
from tidecast.client.following import position_of
from tidecast.connection.cluster import Entry
from tidecast.connection.partitions import check_partitions
from tidecast.errors import ClosedError
from tidecast.settings import Settings
from tidecast.wire import Fields, common_keys, keys_of, partition_of
from tidecast.wire.known import known_keys

T = TypeVar("T")
PIPELINE = 1000  # readings in one round trip
RECHECK_S = 5.0  # pause between two checks of the number of partitions, while Redis has no number


class Addresses:
    """The streams of a client, by the settings; readings are checked before they get their stream."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._keys = [keys_of(p, settings.partitions, settings.namespace) for p in range(settings.partitions)]
        self._most_bytes = settings.series.max_entry_bytes
        self._known, self._known_dead = known_keys(settings.namespace)
        self.known_kept = settings.known.kept

    def entry(self, series: str, values: Values, ts: Time | None) -> Entry:
        """Return a reading's stream and fields."""
        return self._addressed(entry_of(series, values, ts, now_ms=_now_ms(), most_bytes=self._most_bytes))

    def entries(self, readings: Iterable[NewReading], start: int) -> list[Entry]:
        """Return the streams and fields of many readings; the first has the number `start`."""
        fields = entries_of(readings, start, now_ms=_now_ms(), most_bytes=self._most_bytes)
        return [self._addressed(each) for each in fields]

    def known_entry(self, series: str, values: Values, ts: Time) -> Entry:
        """Return the stream and the fields of values that are known ahead."""
        return self._known, known_entry_of(series, values, ts, most_bytes=self._most_bytes)

    def forecasts_since(self, since: str | int) -> dict[str, str]:
        """Return the streams of forecasts, each with the id after which it is read."""
        return {keys.forecasts: position_of(since) for keys in self._keys}

    def events_since(self, since: str | int) -> dict[str, str]:
        """Return the streams of events, each with the id after which it is read."""
        return {keys.events: position_of(since) for keys in self._keys}

    def dead_since(self, since: str | int) -> dict[str, str]:
        """Return the streams of dead letters, each with the id after which it is read."""
        return {key: position_of(since) for key in (*(keys.dead for keys in self._keys), self._known_dead)}

    def _addressed(self, fields: Fields) -> Entry:
        partition = partition_of(fields[b"series"].decode(), self._partitions) if self._partitions > 1 else 0
        return self._keys[partition].readings, fields


class PartitionsCheck:
    """The check that Redis has the same number of partitions as the settings; it ends once Redis has a number."""

    def __init__(self, settings: Settings) -> None:
        self.key, _ = common_keys(settings.namespace)
        self._wanted = settings.partitions
        self._due_at = 0.0

    def due(self, now: float) -> bool:
        """Return whether the number should be read from Redis now."""
        return now >= self._due_at

    def settle(self, found: bytes | None, now: float) -> None:
        """Compare the number in Redis with the settings.

        Raises:
            SettingsError: the numbers differ.
        """
        check_partitions(self.key, found, self._wanted)
        self._due_at = now + RECHECK_S if found is None else math.inf


def closed() -> ClosedError:
    """Return the error for using a closed client."""
    return ClosedError("the client is closed: open another one")


def chunks(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Split items into tuples for one round trip each."""
    iterator = iter(items)
    while chunk := tuple(islice(iterator, PIPELINE)):
        yield chunk


def _now_ms() -> int:
    return round(time.time() * 1000)
