"""Connections to Redis: one server, a cluster, or an embedded server."""

from tidecast.connection.connection import RIGHTS, check_address, connect, connect_async, explain, lacks_right

__all__ = ["RIGHTS", "check_address", "connect", "connect_async", "explain", "lacks_right"]
