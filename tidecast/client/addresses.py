"""The streams of readings, forecasts and events that the settings name, and the check of readings to send."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from tidecast.client.entries import NewReading, Time, Values, entries_of, entry_of, known_entry_of
from tidecast.connection.cluster import Entry
from tidecast.connection.partitions import decode_layout
from tidecast.errors import ClosedError
from tidecast.settings import Settings
from tidecast.wire import Fields, Keys, Layout, common_keys, layout_of
from tidecast.wire.known import known_keys

T = TypeVar("T")
PIPELINE = 1000  # readings in one round trip
RECHECK_S = 1.0  # how often to read the layout
MOVE_S = 0.25  # how long a push waits for earlier readings to leave a closed partition
WAIT_EVERY_S = 1.0  # how often a push waits so: while routing lags, the others go to the closed partition at once
LOOK_EVERY_S = 0.005  # how often to look for that


class Addresses:
    """The streams of a client in one layout; readings are checked before they get their stream.

    Attributes:
        layout: the layout.
        pushed: the partitions to which this client has sent readings.
    """

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self.layout = layout
        self.pushed: set[Keys] = set()
        self._leave_at = 0.0  # when a push may wait again for readings in closed partitions, by the monotonic clock
        self._keys = layout.present()
        self._most_bytes = settings.series.max_entry_bytes
        self._known, _ = known_keys(settings.namespace)
        self.known_kept = settings.known.kept

    def fields(self, series: str, values: Values, ts: Time | None) -> Fields:
        """Return a reading's fields."""
        return entry_of(series, values, ts, now_ms=_now_ms(), most_bytes=self._most_bytes)

    def many_fields(self, readings: Iterable[NewReading], start: int) -> list[Fields]:
        """Return the fields of many readings; the first has the number `start`."""
        return entries_of(readings, start, now_ms=_now_ms(), most_bytes=self._most_bytes)

    def known_entry(self, series: str, values: Values, ts: Time, known_at: Time | None) -> Entry:
        """Return the stream and the fields of values that are known ahead."""
        return self._known, known_entry_of(series, values, ts, known_at, most_bytes=self._most_bytes)

    def keys_of(self, fields: Fields) -> Keys:
        """Return the keys of a reading's partition."""
        partition = self.layout.partition_of(fields[b"series"].decode()) if self.layout.partitions > 1 else 0
        return self._keys[partition]

    def may_leave_for(self, layout: Layout) -> bool:
        """Return whether a push should try now to leave for another layout."""
        return layout != self.layout and time.monotonic() >= self._leave_at

    def stay(self) -> None:
        """Let the pushes of the next `WAIT_EVERY_S` go on in this layout, as leaving it takes too long."""
        self._leave_at = time.monotonic() + WAIT_EVERY_S

    def behind(self, layout: Layout) -> set[Keys]:
        """Return the keys of the closed partitions where readings of this client may be, before it leaves for a layout.

        Its readings may have been routed to partitions that were opened and closed since, unless it has sent none.
        """
        if not self.pushed:
            return set()
        return self.pushed.union(*layout.generations()[self.layout.generation + 1 : -1])


def routed_from(last: bytes | None) -> str:
    """Return where the readings of a closed partition begin that are to be routed, as XRANGE takes it.

    Args:
        last: the last reading that was answered there; None for the plain stream.
    """
    return f"({last.decode()}" if last else "-"


class LayoutCheck:
    """The layout in Redis, which is read again and again.

    Attributes:
        key: the key of the layout.
        layout: as last read; before that the one of the settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.key, _ = common_keys(settings.namespace)
        self.layout = layout_of(settings)
        self._due_at = 0.0

    def due(self, now: float) -> bool:
        """Return whether the layout should be read from Redis now."""
        return now >= self._due_at

    def settle(self, stored: bytes | None, now: float) -> Layout:
        """Take the layout in Redis; return the one that is valid from now on.

        Raises:
            SettingsError: Redis stores no valid layout.
        """
        if stored is not None:
            self.layout = decode_layout(self.key, stored, self.layout.namespace)
        self._due_at = now + RECHECK_S
        return self.layout


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
