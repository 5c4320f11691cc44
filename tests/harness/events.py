"""Events on the stream, as workers write them."""

from redis import Redis

from tidecast.wire import Event, keys_of


def happen(redis: Redis, event: Event, partition: int = 0, partitions: int = 1, entry_id: str = "*") -> Event:
    """Put an event on its partition's stream; return it."""
    flat = event.encode()
    key = keys_of(partition, partitions).events
    redis.xadd(key, dict(zip(flat[::2], flat[1::2], strict=True)), id=entry_id)  # type: ignore[arg-type] # text is fine
    return event
