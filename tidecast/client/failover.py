"""Leave connections that lead to a former master: after a failover the same name may lead to the new one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import redis
import redis.asyncio
from redis.exceptions import ResponseError

from tidecast.connection.cluster import AsyncCluster, Cluster
from tidecast.connection.refusals import STALE, code_of


@contextmanager
def left_if_stale(client: redis.Redis | Cluster) -> Iterator[None]:
    """Close the client's idle connections if a command within the `with` block was refused by a replica.

    The error is raised, and the next command opens a new connection. A cluster's client finds the master itself.
    """
    try:
        yield
    except ResponseError as exc:
        if code_of(exc) in STALE and isinstance(client, redis.Redis):
            client.connection_pool.disconnect(inuse_connections=False)
        raise


@asynccontextmanager
async def async_left_if_stale(client: redis.asyncio.Redis | AsyncCluster) -> AsyncIterator[None]:
    """Do the same for asyncio; see `left_if_stale`."""
    try:
        yield
    except ResponseError as exc:
        if code_of(exc) in STALE and isinstance(client, redis.asyncio.Redis):
            await client.connection_pool.disconnect(inuse_connections=False)
        raise
