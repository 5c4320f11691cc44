"""Delete, rename and expire a partition's series between two batches."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import inf

import structlog

from tidecast.connection.lag import Progress
from tidecast.connection.records.orders import Order
from tidecast.durations import duration_text
from tidecast.errors import StoreError
from tidecast.models.store import ModelStore
from tidecast.online.forecaster import Forecaster
from tidecast.settings import Settings
from tidecast.wire import Event, id_pair, layout_of
from tidecast.wire.state_format import bin_field_names, field_names
from worker.partition.entry_purge import EntryPurge
from worker.partition.series_change import SeriesChange
from worker.partition.stream import Stream

LOOK_EVERY_S = 1.0  # how often to check for orders
EXPIRY_EVERY = (1.0, 600.0)  # s: how often at most and at least to look for expired series
EXPIRY_SHARE = 0.05  # of `series.expire`, between two looks
GRACE_S = 3600.0  # after an acquisition no series expires for so long: all may have been silent with the installation
EXPIRED_AT_ONCE = 50  # series at most
USUAL_ROWS = 8160  # fields of windows up to this size are deleted, as a window may have been larger before

log = structlog.get_logger("tidecast.worker")


class SeriesOrders:
    """The orders on one partition's series.

    The store is changed before the commit that removes the order. So a worker that is killed in between leaves an order
    that the next one completes.

    Args:
        stream: the partition's keys.
        forecaster: its series.
        store: the models.
        settings: the number of partitions and `series.expire`.
    """

    def __init__(self, stream: Stream, forecaster: Forecaster, store: ModelStore, settings: Settings) -> None:
        self._stream = stream
        self._forecaster = forecaster
        self._store = store
        self._looked_at = -inf
        self._settings = settings
        self._expire_s = settings.series.expire
        self._expiry_at = inf  # when to look for expired series, epoch seconds
        self._waiting: list[Order] = []
        self._purge = EntryPurge(stream.purge)
        self._expired: dict[str, float] = {}  # when their newest readings arrived, epoch milliseconds

    @property
    def waiting(self) -> bool:
        """Return whether there is something to do, which needs a moment without a batch under way."""
        return bool(self._waiting or self._expired)

    def purge_due(self, now: float) -> bool:
        """Return whether entries of former series can be deleted now; `now` is in epoch seconds."""
        return self._purge.due(now)

    def purge(self, epoch: int, now: float) -> None:
        """Delete some entries of former series, if there are any; a batch may be under way.

        Raises:
            Fenced: another worker has the partition.
        """
        self._purge.step(epoch, now)

    def begin(self, now: float) -> None:
        """Note that the partition was acquired; `now` is in epoch seconds."""
        if self._expire_s is not None:
            self._expiry_at = now + min(self._expire_s, GRACE_S)

    def look(self, now: float) -> None:
        """Check for orders every `LOOK_EVERY_S`, and now and then for expired series; `now` is in epoch seconds."""
        if not 0 <= now - self._looked_at < LOOK_EVERY_S:
            self._looked_at = now
            orders = self._stream.orders()
            self._waiting = [order for order in orders if order.left is None]
            self._purge.take([order for order in orders if order.left])
            self._expired = {}  # while the partition lags behind, none can be deleted
        if self._expire_s is not None and now >= self._expiry_at:
            clock_s = min(now, self._stream.clock_s())  # if one is wrong, no series must be deleted for it
            self._expired = dict(islice(self._silent_since(1000 * (clock_s - self._expire_s)), EXPIRED_AT_ONCE))
            least, most = EXPIRY_EVERY
            has_more = len(self._expired) == EXPIRED_AT_ONCE
            self._expiry_at = now + (least if has_more else min(most, max(least, EXPIRY_SHARE * self._expire_s)))

    def _silent_since(self, ms: float) -> Iterator[tuple[str, float]]:
        """Yield the series whose newest reading arrived before a time, epoch milliseconds, and when it did."""
        for series, state in self._forecaster.states.items():
            arrived = float(state.fields.watch.arrived)
            if 0 < arrived < ms:
                yield series, arrived

    def carry_out(self, epoch: int, progress: Progress, *, drained: bool) -> None:
        """Carry out the orders whose readings are all answered; no batch may be under way.

        Args:
            epoch: of the lease.
            progress: the last commit.
            drained: whether no reading waits that was there at the last `look`.

        Raises:
            Fenced: another worker has the partition.
        """
        for order in list(self._waiting):
            if drained or id_pair(order.after) <= id_pair(progress.last):
                self._carry_out(epoch, order, progress.last)
                self._waiting.remove(order)
        if self._expired and (drained or id_pair(progress.last)[0] >= 1000 * self._looked_at):
            self._expire(epoch)

    def forget(self) -> None:
        """Forget the orders of a partition that was lost or released."""
        self._looked_at = -inf
        self._purge.take([])
        self._expiry_at = inf
        self._waiting = []
        self._expired = {}

    def _carry_out(self, epoch: int, order: Order, last: str) -> None:
        if order.state is not None:
            self._take_over(epoch, order)
            return
        if reason := self._why_not(order):
            self._stream.refuse(order, reason)
            return
        if order.again and order.series not in self._forecaster.states:
            left = replace(order, left=self._stream.purge.spans(last)).encode()
            self._stream.change_series(epoch, SeriesChange([], [], [], order=order.id, left=left))
            self._looked_at = -inf
            return
        try:
            models = self._change_store(order)
        except StoreError as exc:
            log.warning("models not changed", series=order.series, error=str(exc), meaning="the command changes them")
            models = "kept"
        change = self._change_of(order, models)
        if order.purging:
            change = replace(change, left=replace(order, left=self._stream.purge.spans(last)).encode())
            self._looked_at = -inf  # begin at once
        self._stream.change_series(epoch, change)
        if order.new and change.to:
            self._forecaster.hand_over_series(order.series, order.new)
            log.info("series handed over", series=order.series, new=order.new, to=change.to)
        elif order.new:
            self._forecaster.rename_series(order.series, order.new)
            log.info("series renamed", series=order.series, new=order.new, models=models, user=order.user)
        else:
            self._forecaster.delete_series(order.series)
            log.info("series deleted", series=order.series, models=models, user=order.user)

    def _expire(self, epoch: int) -> None:
        """Delete the series that were silent for too long; those that have sent a reading meanwhile stay."""
        silent = {
            series: arrived
            for series, arrived in self._expired.items()
            if (state := self._forecaster.states.get(series)) and state.fields.watch.arrived == arrived
        }
        self._expired = {}
        if not silent:
            return
        events = []
        for series, arrived in silent.items():
            try:
                models = "deleted" if self._store.delete(series) else "none"
            except StoreError as exc:
                log.warning("models not deleted", series=series, error=str(exc))
                models = "kept"
            facts: dict[str, str | float] = {"since": int(arrived), "program": "worker", "models": models}
            detail = f"no reading for {duration_text(self._expire_s or 0.0)} (series.expire)"
            events.append(Event("series_expired", detail, series, facts=facts))
        deleted = [name for series in silent for name in self._fields_of(series)]
        self._stream.change_series(epoch, SeriesChange([(series, "") for series in silent], deleted, events))
        for series in silent:
            self._forecaster.delete_series(series)
        log.info("series expired", count=len(silent), some=list(silent)[:10])

    def _why_not(self, order: Order) -> str | None:
        """Return why a series cannot get its new name."""
        if order.new and self._settings.redis_cluster and self._orders_of(order.new) != self._stream.keys.orders:
            return f"{order.new!r} belongs to another partition, where no state can move in a Redis Cluster"
        if order.new is None or order.replacing:
            return None
        if order.series in self._forecaster.states and order.new in self._forecaster.states:
            return f"series {order.new!r} has answered readings already: delete it first, or replace it"
        if self._store.versions(order.series) and self._store.versions(order.new):
            return f"the store has models of {order.new!r} already: delete that series first, or replace it"
        return None

    def _change_store(self, order: Order) -> str:
        """Change the store; return the fact `models` of the event."""
        if order.new:
            return "moved" if self._store.rename(order.series, order.new, replacing=order.replacing) else "none"
        return "deleted" if self._store.delete(order.series) else "none"

    def _change_of(self, order: Order, models: str) -> SeriesChange:
        """Return the change of the stored state, with its event."""
        deleted = self._fields_of(order.series)
        if order.new is None:
            event = Event("series_deleted", "state and models deleted", order.series, facts=_facts_of(order, models))
            return SeriesChange([(order.series, "")], deleted, [event], order=order.id)
        state = self._forecaster.states.get(order.series)
        written = state.all_fields(order.new) if state else {}
        to = self._orders_of(order.new)
        if to != self._stream.keys.orders:
            handed = order.handed_over(written, models).encode()
            return SeriesChange([(order.series, "")], deleted, [], order=order.id, handed=handed, to=to)
        event = _renamed(order, models)
        return SeriesChange(
            [(order.series, order.new)],
            [*deleted, *(self._fields_of(order.new) if state else ())],
            [event],
            written,
            order.id,
        )

    def _orders_of(self, series: str) -> str:
        """Return the key of the orders of the partition that a series belongs to."""
        return layout_of(self._settings).keys_for(series).orders

    def _take_over(self, epoch: int, order: Order) -> None:
        """Continue a series of another partition under its new name."""
        fields = order.fields()
        deleted = self._fields_of(order.new or "") if fields else []
        change = SeriesChange([], deleted, [_renamed(order, order.models)], fields, order.id)
        self._stream.change_series(epoch, change)
        self._forecaster.remember(fields)
        log.info("series taken over", series=order.series, new=order.new, user=order.user)

    def _fields_of(self, series: str) -> list[str]:
        """Return all fields that the state of a series may have in Redis."""
        state = self._forecaster.states.get(series)
        names = field_names(series, max(USUAL_ROWS, state.window.capacity if state else 0))
        return names if state and state.window.bins is None else names + bin_field_names(series)


def _renamed(order: Order, models: str) -> Event:
    """Return the event of a series with a new name."""
    facts = _facts_of(order, models) | {"old": order.series, "new": str(order.new)}
    return Event("series_renamed", f"{order.series} is called {order.new} now", order.new, facts=facts)


def _facts_of(order: Order, models: str) -> dict[str, str | float]:
    return {"user": order.user, "host": order.host, "program": "command", "models": models}
