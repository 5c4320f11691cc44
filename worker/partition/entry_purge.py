"""Delete the entries of deleted and renamed series from the streams, a page at a time, between the batches."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import structlog

from tidecast.connection.records.orders import Order, Span
from tidecast.connection.refusals import NO_RIGHT
from tidecast.errors import Unavailable
from tidecast.wire import id_pair
from worker.partition.stream_purge import StreamPurge

AGAIN_S = 1.0  # pause where a consumer group has not acknowledged an entry yet
WITHOUT_RIGHT_S = 60.0

log = structlog.get_logger("tidecast.worker")


class EntryPurge:
    """The orders of one partition whose series is gone, and whose entries are being deleted.

    Each page is searched by the worker; the deletion and the position are one script under the lease. After a crash the
    next worker continues from that position.

    Args:
        streams: the commands.
    """

    def __init__(self, streams: StreamPurge) -> None:
        self._streams = streams
        self._orders: list[Order] = []
        self._at = -inf  # when to go on, epoch seconds

    def take(self, orders: Sequence[Order]) -> None:
        """Take over the orders as Redis has them."""
        self._orders = list(orders)

    def due(self, now: float) -> bool:
        """Return whether there is a page to search; `now` is in epoch seconds."""
        return bool(self._orders) and not 0 <= self._at - now <= WITHOUT_RIGHT_S

    def step(self, epoch: int, now: float) -> None:
        """Search the next page, if one is due.

        Raises:
            Fenced: another worker has the partition.
        """
        if not self.due(now):
            return
        order = self._orders.pop(0)
        try:
            left, waits = self._search(epoch, order)
        except Unavailable as exc:
            if exc.code != NO_RIGHT:
                raise
            log.warning("entries not deleted", series=order.series, error=str(exc), again_s=WITHOUT_RIGHT_S)
            self._at = now + WITHOUT_RIGHT_S
            left = order
        else:
            self._at = now + AGAIN_S if waits else -inf
        if left.left:
            self._orders.append(left)
        else:
            log.info("entries of a former series deleted", series=order.series)

    def _search(self, epoch: int, order: Order) -> tuple[Order, bool]:
        """Delete the entries of one page; return the order with what is left, and whether an entry is still needed."""
        span, *others = order.left or ()
        page = self._streams.page(span)
        name = order.series.encode()
        ids = [entry_id.decode() for entry_id, fields in page if fields.get(span.field.encode()) == name]
        free = self._acknowledged(span, ids)
        if len(free) < len(ids):
            rest = [*others, span._replace(first=ids[len(free)])]
        else:
            rest = [span._replace(first=f"({page[-1][0].decode()}"), *others] if page else others
        left = replace(order, left=rest)
        if free or left != order:
            self._streams.delete(epoch, left, span.key, free)
        return left, len(free) < len(ids)

    def _acknowledged(self, span: Span, ids: list[str]) -> list[str]:
        """Return the ids that no consumer group needs any more."""
        needed = self._streams.least_needed(span.key) if ids else None
        return ids if needed is None else [each for each in ids if id_pair(each) < id_pair(needed)]
