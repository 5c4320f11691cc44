"""The streams whose readings are routed: the plain one, and those of partitions that a repartition has closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from tidecast.connection.cluster import Cluster, StreamReply
from tidecast.wire import Keys, Layout, keys_of

OLDEST = "0-0"


@dataclass(frozen=True, slots=True)
class RoutedStream:
    """A stream whose readings are routed.

    Attributes:
        keys: the keys beside it.
        cut: its readings after this id are routed; those before were answered while the partition was open.
    """

    keys: Keys
    cut: str = OLDEST

    @property
    def stream(self) -> str:
        """Return the name of the stream."""
        return self.keys.readings


def sources_of(redis: Redis, layout: Layout) -> list[RoutedStream]:
    """Return the streams whose readings are routed in a layout, the plain one first.

    Raises:
        RedisError: Redis does not answer.
    """
    closed = [source for sources in closed_by_generation(redis, layout) for source in sources]
    if layout.numbers[0] == 1:  # the plain stream was that of the only partition
        return closed
    return [RoutedStream(keys_of(namespace=layout.namespace)), *closed]


def closed_by_generation(redis: Redis, layout: Layout) -> list[list[RoutedStream]]:
    """Return the streams of closed partitions, the oldest generation first."""
    return [[RoutedStream(keys, _last(redis, keys)) for keys in former] for former in layout.generations()[:-1]]


def waiting(redis: Redis, sources: Sequence[RoutedStream]) -> dict[RoutedStream, str]:
    """Return the streams with readings to route, each with the id of the first."""
    position = {source.stream: source.cut for source in sources}
    if not position:
        return {}
    client: object = redis
    if isinstance(client, Cluster):
        reply = client.read_each(position, 1, 0)
    else:
        reply = cast("StreamReply", redis.xread(position, count=1))  # type: ignore[arg-type] # strings are fine
    first = {stream.decode(): entries[0][0].decode() for stream, entries in reply or ()}
    return {source: first[source.stream] for source in sources if source.stream in first}


def _last(redis: Redis, keys: Keys) -> str:
    last = cast("bytes | None", redis.hget(keys.offset, "last"))
    return last.decode() if last else OLDEST
