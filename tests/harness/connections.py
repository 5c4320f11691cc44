"""Connections that the end of a test closes, for tests whose workers are stepped by hand and never leave."""

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.cluster import Cluster
from tidecast.settings import Settings

_opened: list[Redis] = []


def connected(settings: Settings) -> Redis:
    """Return a connection that is closed at the end of the test."""
    _opened.append(connect(settings))
    return _opened[-1]


def close_all() -> None:
    """Close what `connected` returned, and the connections that a stream took from it."""
    while _opened:
        connection: object = _opened.pop()
        if isinstance(connection, Redis):
            connection.connection_pool.disconnect()
        elif isinstance(connection, Cluster):
            connection.close()
