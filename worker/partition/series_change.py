"""A change of stored series between two batches, as change.lua takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tidecast.wire import Event


@dataclass(frozen=True, slots=True)
class SeriesChange:
    """A change of the stored series without a reading.

    Attributes:
        names: `(old, new)` names of the series; an empty new name: it is deleted.
        deleted: the fields of the states to delete.
        written: the fields of the states to write.
        events: the events to write.
        order: the id of the order; empty: the worker changes the series by itself.
        handed: the order for the partition that takes the series over; empty: it stays.
        to: the key of that partition's orders.
        left: the order with the entries that are left to delete; empty: it is done.
    """

    names: Sequence[tuple[str, str]]
    deleted: Sequence[str]
    events: Sequence[Event]
    written: Mapping[str, bytes] = field(default_factory=dict)
    order: str = ""
    handed: str = ""
    to: str = ""
    left: str = ""

    def arguments(self) -> list[Any]:
        """Return the lists of change.lua, flat, each after its length; the fields to write come last, without one."""
        args: list[Any] = [len(self.deleted), *self.deleted]
        args += [len(self.names), *chain.from_iterable(self.names)]
        args.append(len(self.events))
        for event in self.events:
            fields = event.encode()
            args += (len(fields), *fields)
        args += chain.from_iterable(self.written.items())
        return args
