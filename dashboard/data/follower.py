"""The background reader for all viewers: follows forecasts and events, and keeps the data of the pages."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from dashboard.data.recent import Entries, Recent
from dashboard.data.signs import CONDITIONS, SignReader, Signs
from dashboard.data.totals import Counting, Totals
from tidecast.connection import connect, explain
from tidecast.connection.cluster import Cluster, StreamReply
from tidecast.connection.merging import in_order_of_time
from tidecast.connection.partitions import at_present, newest_entries, server_ms
from tidecast.connection.portion import Portion, shrinking
from tidecast.errors import StreamError, TidecastError
from tidecast.models.storage.served import Served
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event, id_pair, is_copy, layout_of

BATCH = 1500  # entries per read; after a full read the reader skips ahead, because reads take time from the workers
BACKFILL = 30_000  # forecasts of each partition to read at the start
PAUSE_S = 0.25  # between two reads: few large batches cost less than many small ones
SKIPPED_TO = 250  # newest forecasts to read after skipping ahead
TOTALS_EVERY_S = 1.0  # between two reads of the totals
RETRY_S = 1.0  # after Redis was not available
EVENTS_KEPT = 500
FIRST = "0-0"
GONE = ("series_deleted", "series_renamed", "series_expired")

_log = logging.getLogger(__name__)


class Follower:
    """The current data of all series, kept up to date by `step`.

    Attributes:
        recent: the newest readings and forecasts.
        events: the newest events, oldest first.
        signs: the series that are not in order, and those that are muted.
        served: the series that have a champion in the store.
        totals: as last read; None before the first time.
        trouble: why Redis cannot be read; empty while it can.
        skipped_at: when the reader last skipped ahead, in seconds of the clock; None: never.
        lock: held while any of these changes.
        ready: set once the entries from before the start are read.
    """

    def __init__(self, settings: Settings, most_series: int) -> None:
        self._settings = settings
        self._forecasts: list[str] = []
        self._events: list[str] = []
        self._position: dict[str, str] = {}
        self._signs = SignReader(settings)
        self._portion = Portion(BATCH)
        self._redis: Redis | None = None
        self._counting: Counting | None = None
        self._totals_due_at = 0.0
        self._served = Served(ModelStore(settings.store))
        self.recent = Recent(most_series)
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.signs = Signs()
        self.served: Set[str] = frozenset()
        self.totals: Totals | None = None
        self.trouble = ""
        self.skipped_at: float | None = None
        self.lock = threading.RLock()
        self.ready = threading.Event()

    def run(self, stop: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        """Follow the streams until `stop` is set; errors of Redis do not end the reader."""
        while not stop.is_set():
            stop.wait(PAUSE_S if self.step(clock()) else RETRY_S)
        if self._redis is not None:
            self._redis.close()

    def step(self, now: float) -> bool:
        """Read new entries, and from time to time the totals; return False while Redis cannot be read."""
        try:
            redis = self._connected()
            are_totals_due = now >= self._totals_due_at
            if are_totals_due:
                self._read_totals(now)
            self._follow(redis, now)
            if are_totals_due:
                self._read_signs(redis)
        except (RedisError, OSError) as exc:
            self._fail(explain(exc) if isinstance(exc, RedisError) else str(exc))
        except TidecastError as exc:
            self._fail(str(exc))
        except Exception as exc:  # otherwise the thread would end, and the pages would show old values in silence
            if not self.trouble:
                _log.exception("the reader of the streams failed")
            self._fail(f"{type(exc).__name__}: {exc}")
        else:
            self.trouble = ""
            self.ready.set()
        return not self.trouble

    def _fail(self, sentence: str) -> None:
        if not self.trouble:
            _log.warning("Redis cannot be read: %s", sentence)
        self.trouble = sentence
        self._totals_due_at = 0.0

    def _connected(self) -> Redis:
        if self._redis is None:
            self._redis = connect(self._settings)
            self._use_layout(self._redis, self._settings)
        return self._redis

    def _use_layout(self, redis: Redis, settings: Settings) -> None:
        """Follow the streams of a layout, and those of former ones to their ends."""
        self._settings = settings
        parts = [part.keys for part in layout_of(settings).every_part()]
        self._forecasts = [keys.forecasts for keys in parts]
        self._events = [keys.events for keys in parts]
        if self._position:  # the new streams from their beginning
            self._position = dict.fromkeys([*self._forecasts, *self._events], FIRST) | self._position
        self._counting = Counting(redis, settings)
        self._signs = SignReader(settings)
        self._signs.request(self.recent.names)

    def _read_totals(self, now: float) -> None:
        if self._counting is None or self._redis is None:
            raise AssertionError("not connected")
        present = at_present(self._redis, self._settings)
        if layout_of(present) != layout_of(self._settings):
            self._use_layout(self._redis, present)
        self.totals = self._counting.read(now)
        served = self._served.names()
        with self.lock:
            self.served = served
        self._totals_due_at = now + TOTALS_EVERY_S
        if any(id_pair(newest) < id_pair(self._position.get(key, FIRST)) for key, newest in self.totals.newest.items()):
            # Redis was emptied, or restored to an earlier state: our data no longer match it.
            self._position.clear()
            with self.lock:
                self.recent.clear()
                self.events.clear()
                self.signs = Signs()
                self._signs = SignReader(self._settings)

    def _read_signs(self, redis: Redis) -> None:
        signs = self.signs
        conditions = self._signs.conditions(redis, list(signs.conditions))
        dead_ms = self._signs.dead(redis)
        mutes = self._signs.mutes(redis, server_ms(redis))
        with self.lock:
            signs.put(conditions)
            signs.dead_ms |= {name: at for name, at in dead_ms.items() if name in self.recent.index}
            signs.mutes = mutes

    def _follow(self, redis: Redis, now: float) -> None:
        if not self._position:
            self._begin(redis)
        reply = shrinking(redis, self._portion, lambda count: self._read(redis, min(count, BATCH)))
        if any(len(entries) >= min(self._portion.count, BATCH) for _, entries in reply):
            self._skip(redis, now)
        if reply:
            self._portion.went_well()

    def _begin(self, redis: Redis) -> None:
        """Read the newest entries of each stream, and continue after them."""
        position = {}
        for key in self._forecasts:
            entries = _newest_of(redis, key, BACKFILL)
            self._add_forecasts(entries)
            position[key] = entries[-1][0].decode() if entries else FIRST
        newest = [(key, _newest_of(redis, key, EVENTS_KEPT)) for key in self._events]
        for key, entries in newest:
            position[key] = entries[-1][0].decode() if entries else FIRST
        self._add_events([(key.encode(), entries) for key, entries in newest])
        self._position = position
        self._signs.request(self.recent.names)

    def _read(self, redis: Redis, count: int) -> StreamReply:
        connection = cast("Redis | Cluster", redis)
        if isinstance(connection, Cluster):
            reply = connection.read_each(self._position, count, 0)
        else:
            reply = cast("StreamReply", connection.xread(cast("Any", self._position), count=count) or [])
        for raw_key, entries in reply:
            key = raw_key.decode()
            if key in self._forecasts:
                self._add_forecasts(entries)
            self._position[key] = entries[-1][0].decode()
        self._add_events([(key, entries) for key, entries in reply if key.decode() in self._events])
        return reply

    def _skip(self, redis: Redis, now: float) -> None:
        """Skip to the newest forecasts: a page must show the present, and a late reader would show the past."""
        for key in self._forecasts:
            entries = _newest_of(redis, key, SKIPPED_TO)
            fresh = [entry for entry in entries if id_pair(entry[0]) > id_pair(self._position[key])]
            self._add_forecasts(fresh)
            if len(fresh) == SKIPPED_TO:
                self.skipped_at = now
            if fresh:
                self._position[key] = fresh[-1][0].decode()

    def _add_forecasts(self, entries: Entries) -> None:
        own = [entry for entry in entries if not is_copy(entry[1] or {})]
        for first in range(0, len(own), BATCH):
            with self.lock:
                self.recent.add(own[first : first + BATCH])

    def _add_events(self, events: StreamReply) -> None:
        """Keep the events of all partitions, in the order of their times."""
        for _, entry_id, fields in in_order_of_time(events, EVENTS_KEPT + 1):
            try:
                event = Event.decode(entry_id, fields)
            except StreamError as exc:
                _log.warning("%s", exc)
                continue
            with self.lock:
                self.events.append(event)
                if event.series is not None:
                    self._note(event, event.series)

    def _note(self, event: Event, series: str) -> None:
        self.signs.note(event, series)
        if event.kind in CONDITIONS:
            self._signs.request([series])
        if event.kind in GONE:
            self._forget(event, str(event.facts.get("old", series)))

    def _forget(self, event: Event, gone: str) -> None:
        """Remove a name that has ended; earlier events of a renamed series get its new name."""
        renamed = event.series if event.series != gone else None
        earlier = list(self.events)
        self.events.clear()
        for each in earlier:
            if each is event or each.series != gone:
                self.events.append(each)
            elif renamed:
                self.events.append(replace(each, series=renamed))
        i = self.recent.index.get(gone)
        if i is not None and id_pair(self.recent.newest_id[i]) < id_pair(event.id):
            self.recent.remove(gone)
            self.signs.forget(gone)

    def unit_of(self, series: str) -> str:
        """Return the unit of a series' values; empty if it has none."""
        return self._settings.series.unit_of(series)

    def newest_events(self, count: int, series: str | None = None) -> list[Event]:
        """Return the newest events, of one series or of all, newest first."""
        with self.lock:
            newest: Iterable[Event] = reversed(list(self.events))
        return list(islice((event for event in newest if series is None or event.series == series), count))


def _newest_of(redis: Redis, key: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the newest entries of a stream, oldest first."""
    return list(newest_entries(redis, key, count))[::-1]
