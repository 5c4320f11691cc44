"""Post events in groups, in the order of their times, each at least once."""

import math
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import ResponseError

from tidecast.client.following import OLDEST, warn_of_gap
from tidecast.connection.cluster import Cluster, StreamReply
from tidecast.connection.merging import StreamEntry, in_order_of_time
from tidecast.connection.records.mutes import read_mutes
from tidecast.errors import StreamError
from tidecast.settings import Settings
from tidecast.wire import Event, id_pair, layout_of
from worker.failures.redis_failures import reconnect_if_stale, refusals_explained
from worker.notify.messages import body_of, ends_condition, kinds_posted
from worker.notify.metrics import NotifyMetrics
from worker.notify.receiver import DeliveryError, Receiver
from worker.notify.right import NotifyRight

AT_ONCE = 100  # events of a message
POLL_S = 1.0  # between two looks for new events
STANDBY_S = 2.0  # between two tries to take the right
SPLIT_AFTER = 3  # messages that a receiver fails over, until it gets fewer events at once
PAUSES_S = (1.0, 30.0)  # after the first message that was not delivered, and the longest pause

log = structlog.get_logger("tidecast.notify")


class Notifier:
    """A reader of events that posts them; `step` does what is due.

    Args:
        redis: the server with the events.
        settings: returns which events to post and how often, with the present number of partitions.
        right: the lease that only one process has.
        receiver: where messages go.
        metrics: the counts.
    """

    def __init__(
        self,
        redis: Redis,
        settings: Callable[[], Settings],
        right: NotifyRight,
        receiver: Receiver,
        metrics: NotifyMetrics,
    ) -> None:
        self._redis = redis
        self._present = settings
        self._settings = settings()
        self._right = right
        self._receiver = receiver
        self._metrics = metrics
        self._kinds = kinds_posted(self._settings.notify.format, self._settings.notify.kinds)
        self._layout = layout_of(settings())
        self._most = AT_ONCE
        self._failures = 0
        self._failing_since_ms = 0
        self._stepped_at = -math.inf
        self._announced = False  # whether the log shows that this process has the right
        self.drop()

    @property
    def held(self) -> bool:
        """Whether this process believes that it has the right to post."""
        return bool(self._read)

    def drop(self) -> None:
        """Forget the right and the events that were read: they are read again from the stored position."""
        self._read: dict[str, str] = {}  # the id of the last event read, by stream
        self._behind = False  # whether events were left unread, so that they may be trimmed meanwhile
        self._gap_reported = False  # since no event was left unread
        self._waiting: deque[tuple[StreamEntry, Event]] = deque()
        self._group_began = -math.inf  # when the oldest waiting event was read, epoch seconds
        self._renewed_at = -math.inf
        self._post_at = -math.inf  # the earliest time of the next message
        self._metrics.oldest_ms = None

    def failed(self, exc: Exception) -> None:
        """Begin again from the stored position after a failure of Redis, with new connections if these are stale."""
        reconnect_if_stale(self._redis, exc)
        self.drop()

    def step(self, now: float) -> float:
        """Take the right, read events and post a message, as far as these are due.

        Args:
            now: epoch seconds.

        Returns:
            The seconds to wait before the next step.

        Raises:
            RedisError, Unavailable, StreamError: Redis does not answer, refuses, or holds a key of another type.
        """
        with refusals_explained():
            return self._step(now)

    def _step(self, now: float) -> float:
        if now < self._stepped_at:  # the clock was set back
            self._group_began = self._post_at = -math.inf
        self._stepped_at = now
        if not self._read and not self._take(now):
            return STANDBY_S
        if not 0 <= now - self._renewed_at < self._right.ttl_s / 3:
            self._store(now)  # before a post: after a long pause another process may post by now
        if not self._read:
            return STANDBY_S
        if self._read and self._has_moved():
            self._store(now)
            self.leave()
            return 0.0
        self._look(now)
        due_at = self._due_at()
        if now >= due_at:
            self._post(now)
            due_at = self._due_at()
        return min(POLL_S, max(0.0, due_at - now))

    def _has_moved(self) -> bool:
        """Return whether the partitions have changed; their new streams are read from the next step on."""
        layout = layout_of(self._present())
        has_moved = layout != self._layout
        self._layout = layout
        return has_moved

    def leave(self) -> None:
        """Give the right back."""
        if self._read:
            self._right.give_back()
            self.drop()

    def _take(self, now: float) -> bool:
        position = self._right.take()
        if position is None:
            self._announced = False
            return False
        self._read = position
        self._renewed_at = now
        if not self._announced:  # not once more after each failure
            log.info("notifying", to=self._receiver.place)
            self._announced = True
        self._warn_of_gaps(now)
        return True

    def _warn_of_gaps(self, now: float) -> None:
        """Log which streams may have lost events before they were read, and store that for the doctor."""
        gaps = False
        for key, last in self._read.items():
            if last != OLDEST:
                with suppress(ResponseError):  # the stream does not exist, or XINFO is not allowed
                    info = cast("Any", self._redis.xinfo_stream(key))
                    gaps = warn_of_gap(key, last, info) or gaps
        if gaps:
            self._gap_reported = True
            self._metrics.gap()
            self._store(now, gap_ms=round(now * 1000))

    def _look(self, now: float) -> None:
        """Read new events, unless enough are waiting."""
        if len(self._waiting) >= AT_ONCE:
            self._behind = True
            return
        if self._behind and not self._gap_reported:
            self._warn_of_gaps(now)
        reply = self._reply()
        self._behind = any(len(entries) >= AT_ONCE for _, entries in reply)
        self._gap_reported = self._gap_reported and self._behind
        for entry in in_order_of_time(reply, AT_ONCE):
            key, entry_id, fields = entry
            self._read[key] = entry_id.decode()
            try:
                event = Event.decode(entry_id, fields)
            except StreamError as exc:
                log.warning("entry skipped", error=str(exc))
                continue
            if event.kind in self._kinds:
                if not self._waiting:
                    self._group_began = now
                self._waiting.append((entry, event))
        self._metrics.oldest_ms = id_pair(self._waiting[0][1].id)[0] if self._waiting else None

    def _reply(self) -> StreamReply:
        connection = cast("Redis | Cluster", self._redis)
        if isinstance(connection, Cluster):
            return connection.read_each(self._read, AT_ONCE, 0)
        return cast("StreamReply", connection.xread(cast("Any", self._read), count=AT_ONCE) or [])

    def _due_at(self) -> float:
        """Return when the next message is due, epoch seconds; infinity without events."""
        if not self._waiting:
            return math.inf
        waits = 0.0 if len(self._waiting) >= AT_ONCE else self._settings.notify.group_wait
        return max(self._group_began + waits, self._post_at)

    def _post(self, now: float) -> None:
        """Post the oldest waiting events; if the receiver refuses a message, try its events in smaller ones."""
        group = [self._waiting[i] for i in range(min(self._most, len(self._waiting)))]
        now_ms = round(now * 1000)
        events = self._not_muted([event for _, event in group], now_ms)
        try:
            if events:
                body = body_of(self._settings.notify.format, events, self._settings.namespace, now_ms)
                self._receiver.post(body)
        except DeliveryError as exc:
            if exc.stopped:  # the next process posts the message
                return
            if not exc.refused:
                self._failed(now, group, exc)
                return
            log.warning("message refused", events=len(events), error=str(exc))
            if len(group) > 1:
                self._most = max(1, len(group) // 2)
                self._post_at = now + 60 / self._settings.notify.rate
                return
            log.error("event not posted", event_id=events[0].id, kind=events[0].kind, error=str(exc))
            self._metrics.ended("refused", 1)
            self._passed(now, 1, {"refused_ms": now_ms, "refusal": str(exc)})
        else:
            self._metrics.ended("delivered", len(events))
            self._passed(now, len(group), {"sent_ms": now_ms} if events else {})

    def _passed(self, now: float, count: int, posted: dict[str, str | int]) -> None:
        """Remove the oldest events, and store that they need not be posted again.

        Args:
            now: epoch seconds.
            count: of the events.
            posted: fields of the record, if a message was posted.
        """
        if self._failures:
            log.info("notifications are delivered again", after_failures=self._failures)
        self._failures = self._failing_since_ms = 0
        self._most = min(AT_ONCE, 2 * self._most)
        self._post_at = now + 60 / self._settings.notify.rate if posted else -math.inf
        for _ in range(count):
            self._waiting.popleft()
        self._group_began = now - self._settings.notify.group_wait  # those that waited behind are not delayed again
        self._metrics.oldest_ms = id_pair(self._waiting[0][1].id)[0] if self._waiting else None
        recovered: dict[str, str | int] = {"error": "", "failing_since_ms": 0} if posted else {}
        self._store(now, **recovered, **posted)

    def _failed(self, now: float, group: list[tuple[StreamEntry, Event]], exc: DeliveryError) -> None:
        """Put the next try off, later after each failure; perhaps only one event of the message is at fault."""
        self._failures += 1
        if exc.splits and self._failures > SPLIT_AFTER:
            self._most = max(1, len(group) // 2)
        self._failing_since_ms = self._failing_since_ms or round(now * 1000)
        pause_s = random.uniform(0.5, 1.0) * min(PAUSES_S[1], PAUSES_S[0] * 2.0 ** min(self._failures, 10))  # noqa: S311 - not a secret
        self._post_at = now + pause_s
        self._metrics.failed()
        log.warning(
            "notification not delivered",
            error=str(exc),
            failures=self._failures,
            pause_s=round(pause_s, 1),
            events=len(group),
            event_id=group[0][1].id,
        )
        self._store(now, failing_since_ms=self._failing_since_ms, error=str(exc))

    def _store(self, now: float, **fields: str | int) -> None:
        """Store how far events are posted, and renew the right; without the right, forget everything."""
        position = dict(self._read)
        for (key, entry_id, _), _ in reversed(self._waiting):
            position[key] = _before(entry_id)
        if self._right.keep(position, **fields):
            self._renewed_at = now
        else:
            log.warning("another process notifies now")
            self.drop()

    def _not_muted(self, events: list[Event], now_ms: int) -> list[Event]:
        """Leave out events of muted series, but let alerts end."""
        ends = self._settings.notify.format == "alertmanager"
        muted = {name for keys in self._layout.present() for name in read_mutes(self._redis, keys, now_ms)}
        return [event for event in events if event.series not in muted or (ends and ends_condition(event))]


def _before(entry_id: bytes) -> str:
    """Return the id before an entry's id."""
    ms, number = id_pair(entry_id)
    return f"{ms}-{number - 1}" if number else f"{ms - 1}-{2**64 - 1}"
