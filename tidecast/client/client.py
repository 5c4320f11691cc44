"""Push readings and follow forecasts from Python; any Redis client in any language can do the same.

`Client` blocks, `AsyncClient` is the same for asyncio. With several partitions, both compute the partition of a series.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import redis
from redis.exceptions import NoPermissionError

from tidecast.client.addresses import LOOK_EVERY_S, MOVE_S, Addresses, LayoutCheck, chunks, closed, routed_from
from tidecast.client.contents import FORECASTS, Contents, Names, dead_letters_of, events_of
from tidecast.client.entries import NewReading, Time, Values
from tidecast.client.failover import left_if_stale
from tidecast.client.follower import BlockingFollower
from tidecast.client.following import NEXT, Patience, following, newest_id
from tidecast.connection import check_address, connect
from tidecast.connection.cluster import Cluster
from tidecast.settings import load_settings
from tidecast.wire import DeadLetter, Event, Fields, Forecast, Keys, Layout

T = TypeVar("T")


class Client:
    """The client of producers and consumers.

    Args:
        url: the address of Redis; by default that of `tidecast.toml` or TIDECAST_REDIS_URL.
        given: other settings by name, such as `namespace`.

    Raises:
        SettingsError: a setting is invalid.

    The first push and the first reading of forecasts compare the number of partitions in Redis with the settings. They
    raise a SettingsError if it differs, because readings could otherwise go to streams that no worker reads.
    """

    def __init__(self, url: str | None = None, **given: Any) -> None:
        self._settings = settings = load_settings(redis_url=url, **given)
        check_address(settings)
        self._opened: redis.Redis | Cluster | None = None
        self._opening = Lock()
        self._closed = False
        self._check = LayoutCheck(settings)
        self._at = Addresses(settings, self._check.layout)

    def push(self, series: str, values: Values, ts: Time | None = None) -> str:
        """Push one reading; return its entry id, which is also the id of its forecast.

        Args:
            series: the series' name, at most 256 bytes.
            values: the value, or a number for each feature; a bool is 0 or 1.
            ts: the reading's time in epoch milliseconds, as an aware datetime or as ISO-8601 with an offset; by default
                Redis' clock.

        Raises:
            BadReading: a worker would refuse the reading, for example NaN or a time without an offset; it was not sent.
                BadReading is a ValueError too.
            SettingsError: Redis stores no valid number of partitions.
            ClosedError: the client was closed.
            RedisError: Redis does not answer, or refuses the command.

        The client never repeats a push by itself. A push that fails with a ConnectionError or TimeoutError of Redis may
        or may not have arrived. With `ts` it is safe to repeat: the worker forecasts once for each time of a series,
        and counts the repetition as a duplicate. Repeat a series' readings from the failed one on, in their order; a
        reading that is earlier than a newer arrival is counted as late. Without `ts` a repetition is another reading.
        """
        fields = self._at.fields(series, values, ts)
        connection = self._pushing()
        at = self._at
        keys = at.keys_of(fields)
        at.pushed.add(keys)  # before it is sent: another thread may leave the layout meanwhile
        with left_if_stale(connection):
            entry_id = cast("bytes", connection.xadd(keys.readings, cast("Any", fields))).decode()
        self._settle(connection, at, {keys: entry_id})
        return entry_id

    def push_many(self, readings: Iterable[NewReading]) -> list[str]:
        """Push many readings, (series, values[, ts]) each, in as few round trips as possible; return their ids.

        All readings are read and checked before the first is sent, which takes about 0.5 kB of memory each.

        Raises:
            BadReading: a worker would refuse a reading; the message has its number, from 0, and none was sent.
                BadReading is a ValueError too.
            SettingsError, ClosedError, RedisError: as for `push`.

        After an error of Redis each reading may or may not have arrived; with `ts` all are safe to repeat, see `push`.
        """
        entries: list[Fields] = []
        for chunk in chunks(readings):
            entries += self._at.many_fields(chunk, len(entries))
        ids: list[str] = []
        for chunk_of_fields in chunks(entries):
            connection = self._pushing()
            at = self._at
            all_keys = [at.keys_of(fields) for fields in chunk_of_fields]
            at.pushed.update(all_keys)
            part = [(keys.readings, fields) for keys, fields in zip(all_keys, chunk_of_fields, strict=True)]
            with left_if_stale(connection):
                added = self._add_many(connection, part)
            some = [entry_id.decode() for entry_id in added]
            self._settle(connection, at, dict(zip(all_keys, some, strict=True)))
            ids += some
        return ids

    def _add_many(self, connection: redis.Redis | Cluster, part: list[tuple[str, Fields]]) -> list[bytes]:
        """Add entries, each to its stream, in one round trip; return their ids."""
        if isinstance(connection, Cluster):
            return connection.add_many(part)
        with connection.pipeline(transaction=False) as pipeline:
            for key, fields in part:
                pipeline.xadd(key, cast("Any", fields))
            return pipeline.execute()

    def _settle(self, connection: redis.Redis | Cluster, at: Addresses, newest: dict[Keys, str]) -> None:
        """Wait for the newest reading of each stream if another thread has left the layout meanwhile."""
        if at is not self._at:
            self._await_passed(connection, newest)

    def _pushing(self) -> redis.Redis | Cluster:
        """Return the connection for a push, after following a new layout.

        Readings of a series that go to another stream must not overtake those before them. So the new streams are used
        once all readings that this client has pushed are answered or routed; until then it pushes as before. While the
        readings are routed slowly, most pushes do not wait for them.
        """
        connection = self._checked()
        layout = self._check.layout
        if self._at.may_leave_for(layout):
            with self._opening:
                at = self._at
                if at.may_leave_for(layout) and self._has_left(connection, at, layout):
                    self._at = Addresses(self._settings, layout)
        return connection

    def _has_left(self, connection: redis.Redis | Cluster, at: Addresses, layout: Layout) -> bool:
        """Wait until what this client has pushed has left the closed partitions; return False if it takes too long."""
        left = False
        with suppress(NoPermissionError):  # readings in closed partitions are routed
            behind = at.behind(layout)
            newest = {keys: newest_id(connection.xrevrange(keys.readings, count=1)) for keys in behind}
            left = self._await_passed(connection, newest)
        if not left:
            at.stay()
        return left

    def _await_passed(self, connection: redis.Redis | Cluster, newest: dict[Keys, str]) -> bool:
        """Wait until readings in closed partitions are answered or routed; return False if it takes too long."""
        ends_at = time.monotonic() + MOVE_S
        for keys, entry_id in newest.items():
            last = cast("bytes | None", connection.hget(keys.offset, "last"))
            while connection.xrange(keys.readings, routed_from(last), entry_id, count=1):
                if time.monotonic() > ends_at:
                    return False
                time.sleep(LOOK_EVERY_S)
        return True

    def push_known(self, series: str, values: Values, ts: Time, known_at: Time | None = None) -> str:
        """Push values that are known ahead of the readings of a time; return the id of their entry.

        A later push for the same time corrects them. Forecasts of readings that arrive from now on use them.

        Args:
            series: a series, or a pattern such as `shop-*`.
            values: a number for each field, such as `{"price": 43.1}`.
            ts: the time that the values are for, as in `push`; it may lie far ahead.
            known_at: since when they are known, such as the time of a weather forecast; None: since this push.

        Raises:
            BadReading: a worker would refuse the values; they were not sent.
            SettingsError, ClosedError, RedisError: as for `push`. It is safe to repeat the call.
        """
        key, fields = self._at.known_entry(series, values, ts, known_at)
        kept = self._at.known_kept
        connection = self._checked()
        with left_if_stale(connection):
            return cast("bytes", connection.xadd(key, cast("Any", fields), maxlen=kept)).decode()

    def forecasts(
        self,
        since: str | int = NEXT,
        *,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> Iterator[Forecast]:
        """Follow forecasts after the entry id `since`: "0" from the oldest stored, "$" those after this call.

        The iteration waits for more without end, or, with `stop_when_idle`, until no forecast comes within `block_ms`.
        If Redis restarts, fails over or closes the connection, the iteration connects again and continues after the
        last forecast. It skips no forecast that Redis still has, and repeats none. The logger `tidecast.client` gets a
        warning of an outage, and of forecasts that were trimmed before they were read.

        Args:
            since: an entry id.
            block_ms: how long one read waits, at least; a longer wait is split.
            stop_when_idle: whether to end when no forecast comes.
            give_up_s: how long Redis may be away before its error is raised; None: without limit, or, with
                `stop_when_idle`, `block_ms` and at least as long as a command may take.

        Raises:
            SettingsError: an argument is out of range, or Redis stores no valid number of partitions.
            ClosedError: the client was closed, before or during the iteration.
            RedisError: Redis does not answer at the beginning, or for too long, or refuses the command.
        """
        return self._following("forecasts", since, FORECASTS, Patience(block_ms, stop_when_idle, give_up_s))

    def events(
        self,
        since: str | int = NEXT,
        *,
        kinds: Names = None,
        series: Names = None,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> Iterator[Event]:
        """Follow events of series, models and scheduled retrainings, in the order of their times.

        Args:
            since: an entry id.
            kinds: one kind of events or several, such as `stuck`; None: all.
            series: a name or a pattern such as `boiler-*`, or several; None: all, and events without a series.
            block_ms, stop_when_idle, give_up_s: as in `forecasts`.

        Raises:
            SettingsError: an argument is out of range, a kind does not exist, or as in `forecasts`.
            ClosedError, RedisError: as in `forecasts`.
        """
        contents = events_of(kinds, series)
        return self._following("events", since, contents, Patience(block_ms, stop_when_idle, give_up_s))

    def anomalies(
        self,
        since: str | int = NEXT,
        *,
        series: Names = None,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> Iterator[Event]:
        """Follow the beginnings and ends of anomalies: the events of kind `anomaly`; arguments as in `events`."""
        contents = events_of("anomaly", series)
        return self._following("events", since, contents, Patience(block_ms, stop_when_idle, give_up_s))

    def dead(
        self,
        since: str | int = NEXT,
        *,
        reasons: Names = None,
        series: Names = None,
        block_ms: int = 1000,
        stop_when_idle: bool = False,
        give_up_s: float | None = None,
    ) -> Iterator[DeadLetter]:
        """Follow dead letters: readings that could not be answered, in the order of their arrival.

        Args:
            since: an entry id; "0" from the oldest stored.
            reasons: one code or several, such as `bad_value`; None: all.
            series: a name or a pattern such as `boiler-*`, or several; None: all, and readings without a series.
            block_ms, stop_when_idle, give_up_s: as in `forecasts`.

        Raises:
            SettingsError: an argument is out of range, or as in `forecasts`.
            ClosedError, RedisError: as in `forecasts`.
        """
        contents = dead_letters_of(reasons, series)
        return self._following("dead", since, contents, Patience(block_ms, stop_when_idle, give_up_s))

    def _following(self, kind: str, since: str | int, contents: Contents[T], patience: Patience) -> Iterator[T]:
        course = following(self._settings, kind, since, contents, patience)
        return BlockingFollower(self._checked, self._check, course)

    def _checked(self) -> redis.Redis | Cluster:
        """Return the connection, opened if needed, after a check of the number of partitions if one is due."""
        if self._closed:
            raise closed()
        with self._opening:
            if self._opened is None:
                self._opened = connect(self._settings)
        if self._check.due(now := time.monotonic()):
            self._check.settle(cast("bytes | None", self._opened.get(self._check.key)), now)
        return self._opened

    def close(self) -> None:
        """Close the connections; iterations that still run raise a ClosedError."""
        self._closed = True
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
