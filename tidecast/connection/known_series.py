"""The names of the series that there are, for people who mistyped one."""

from collections.abc import Iterator
from itertools import islice
from typing import cast

from redis import Redis

from tidecast.settings import Settings
from tidecast.wire import SEPARATOR, keys_of

MOST = 20_000  # names of a partition that are looked through


def answered_series(redis: Redis, settings: Settings) -> Iterator[str]:
    """Yield the series of which a worker has answered a reading; of many in a partition only some."""
    mark = SEPARATOR.encode()
    for partition in range(settings.partitions):
        state = keys_of(partition, settings.partitions, settings.namespace).state
        fields = cast("Iterator[tuple[bytes, bytes]]", redis.hscan_iter(state, count=1000))
        heads = (name for name, _ in fields if mark not in name)
        yield from (name.decode(errors="backslashreplace") for name in islice(heads, MOST))
