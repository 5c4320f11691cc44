"""Write the partitions of the next generation, before and after the present ones are closed."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast
from uuid import uuid4

from redis import Redis

from tidecast.errors import Conflict
from tidecast.wire import SEPARATOR, Keys, Layout
from worker.scripts import script_of

ADOPTED_AT_ONCE = 2000  # fields


class NewPartitions:
    """The partitions of a layout that is not valid yet.

    Args:
        redis: the server or cluster.
        layout: the layout.
        events_kept: how many events a stream keeps.

    Attributes:
        copy: the copy of the states that was begun last: a worker that began an earlier one writes nothing any more.
        copied: whether that copy is complete, apart from the fields that were written since it was begun.
        are_open: whether all partitions are open already.
    """

    def __init__(self, redis: Redis, layout: Layout, events_kept: int) -> None:
        self.layout = layout
        self._redis = redis
        self._events_kept = events_kept
        self._adopt = redis.register_script(script_of("adopt"))
        self._mark = redis.register_script(script_of("mark"))
        self._prepare = redis.register_script(script_of("prepare"))
        self._written: Counter[Keys] = Counter()
        stored = {self._stored(keys) for keys in layout.present()} - {None}
        self.are_open = not stored
        self.copy, self.copied = (stored.pop() if len(stored) == 1 else None) or (b"", self.are_open)

    def begin(self) -> None:
        """Begin a copy."""
        self.copy = uuid4().hex.encode()
        self._written.clear()
        for keys in self.layout.present():
            self._prepare(keys=[keys.offset, keys.state, keys.muted, keys.orders, keys.retrain], args=[self.copy])

    def adopt_states(self, fields: Mapping[str, bytes | None]) -> None:
        """Write fields of states to the partitions of their series; delete those without a value."""
        by_partition: dict[int, dict[str, bytes | None]] = {}
        for name, value in fields.items():
            by_partition.setdefault(self.layout.partition_of(name.partition(SEPARATOR)[0]), {})[name] = value
        for number, its in by_partition.items():
            keys = self.layout.keys(number)
            self.write(keys, keys.state, its)

    def write(self, keys: Keys, key: str, fields: Mapping[str, Any]) -> None:
        """Write fields of a hash of a partition; delete those whose value is None.

        Raises:
            Conflict: another worker has begun a copy since.
        """
        items = list(fields.items())
        for at in range(0, len(items), ADOPTED_AT_ONCE):
            some = items[at : at + ADOPTED_AT_ONCE]
            deleted = [name for name, value in some if value is None]
            args: list[Any] = [self.copy, len(deleted), *deleted]
            for name, value in some:
                if value is not None:
                    args += (name, value)
            self._written[keys] += len(some)
            self._adopt(keys=[keys.offset, key], args=args)

    def end_copy(self) -> None:
        """Mark the copy as complete; another worker may go on with it from now on.

        Raises:
            Conflict: another worker has begun a copy since, or Redis has lost writes.
        """
        for keys in self.layout.present():
            self._write_offset(keys, {"copied": 1}, [])

    def open(self, number: int, offset: Mapping[str, Any], event: list[Any]) -> None:
        """Open a partition with its first offset and an event.

        Raises:
            Conflict: as for `end_copy`.
        """
        self._write_offset(self.layout.keys(number), offset, event)

    def _write_offset(self, keys: Keys, offset: Mapping[str, Any], event: list[Any]) -> None:
        args: list[Any] = [self.copy, self._written[keys], self._events_kept, len(event), *event]
        for item in offset.items():
            args += item
        self._mark(keys=[keys.offset, keys.events], args=args)

    def _stored(self, keys: Keys) -> tuple[bytes, bool] | None:
        """Return the copy that a partition has, and whether it is complete; None if the partition is open."""
        fields = cast("list[bytes | None]", self._redis.hmget(keys.offset, ["last", "copy", "copied", "written"]))
        last, copy, copied, written = fields
        self._written[keys] = int(written or 0)
        return None if last else (copy or b"", bool(copied))


def check_noted(names: set[bytes], copy: bytes) -> None:
    """Check that the names of changed fields were noted since a copy was begun.

    Raises:
        Conflict: they were not, or another worker has begun a copy since.
    """
    if copy not in names:
        raise Conflict("the changes since the copy were not noted, as another worker has begun a copy: begin again")
