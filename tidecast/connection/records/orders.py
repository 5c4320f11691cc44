"""Orders to delete or rename a series, which the worker of its partition carries out between two batches.

That worker alone writes the states, and holds them in memory. So a command leaves an order in the hash `orders` of the
partition. The worker changes the store, then the state, the event and the hash in one commit. If it is killed, the next
worker carries the order out again. If the order asks for it, the series' entries in the streams are then deleted page
by page, and the order holds what is left to search.
"""

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, Self, cast

from redis import Redis

from tidecast.connection.partitions import newest_id
from tidecast.wire import Keys, id_pair


class Span(NamedTuple):
    """A part of a stream from which the entries of one series are deleted.

    Attributes:
        key: of the stream.
        field: the field with the name of the series.
        first: the least id to search, as for XRANGE.
        last: the greatest one.
    """

    key: str
    field: str
    first: str
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to delete a series, or to give it a new name.

    Attributes:
        id: its field in the hash.
        series: the series.
        new: its new name; None: it is deleted.
        replacing: whether a series of the new name is deleted.
        purging: whether the entries with the old name are deleted from the streams.
        again: whether the series was deleted before; only its entries are left, and no event is written.
        after: the id of the newest reading at the time of the order; all readings up to it are answered first.
        user: who gave the order.
        host: the user's machine.
        refused: why the worker has not carried it out; None if it will.
        state: of a series that comes from another partition, the fields of its state in base 64; None: of any other.
        models: the result for its models there: `moved`, `none` or `kept`.
        left: parts of streams that are left to search; None: the series itself is not deleted or renamed yet.
    """

    id: str = ""
    series: str
    new: str | None = None
    replacing: bool = False
    purging: bool = False
    again: bool = False
    after: str = "0-0"
    user: str = ""
    host: str = ""
    refused: str | None = None
    state: dict[str, str] | None = None
    models: str = ""
    left: Sequence[Span] | None = None

    def encode(self) -> str:
        """Return the value in the hash."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "id"})

    def fields(self) -> dict[str, bytes]:
        """Return the fields of the state; raise ValueError if they are damaged."""
        return {name: b64decode(raw, validate=True) for name, raw in (self.state or {}).items()}

    def handed_over(self, state: Mapping[str, bytes], models: str) -> "Order":
        """Return the order for the partition of the new name, with the state."""
        text = {name: b64encode(raw).decode() for name, raw in state.items()}
        return replace(self, after="0-0", models=models, purging=False, state=text)

    @classmethod
    def decode(cls, order_id: bytes, raw: bytes) -> Self:
        """Read a value of the hash.

        Raises:
            ValueError: it is not an order.
        """
        fields = json.loads(raw)
        if not (isinstance(fields, dict) and isinstance(fields.get("series"), str)):
            raise ValueError("it names no series")
        try:
            order = cls(id=order_id.decode(), **fields)
            if order.left is not None:
                order = replace(order, left=[Span(*map(str, span)) for span in order.left])
            id_pair(order.after)
            order.fields()
        except (TypeError, AttributeError) as exc:
            raise ValueError(str(exc)) from exc
        return order


def leave_order(redis: Redis, keys: Keys, order: Order) -> Order:
    """Leave an order for the worker of a partition; return it with its id and the newest reading's."""
    order = replace(order, id=secrets.token_hex(8), after=newest_id(redis, keys.readings))
    redis.hset(keys.orders, order.id, order.encode())
    return order


def order_of(redis: Redis, keys: Keys, order_id: str) -> Order | None:
    """Return an order; None if it was carried out."""
    raw = cast("bytes | None", redis.hget(keys.orders, order_id))
    return Order.decode(order_id.encode(), raw) if raw is not None else None


def withdraw_order(redis: Redis, keys: Keys, order_id: str) -> None:
    """Remove an order."""
    redis.hdel(keys.orders, order_id)


def orders_in(redis: Redis, keys: Keys) -> Iterator[Order]:
    """Yield the orders of a partition that wait for a worker; entries that are not orders are left out."""
    for order_id, raw in sorted(cast("dict[bytes, bytes]", redis.hgetall(keys.orders)).items()):
        try:
            order = Order.decode(order_id, raw)
        except ValueError:
            continue
        if order.refused is None:
            yield order
