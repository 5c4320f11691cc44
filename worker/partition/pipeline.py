"""Commands that go to Redis in one write, and whose replies are taken one by one when they are wanted.

Redis commits while the worker handles the next batch, and no thread has to wait for it. A command through redis-py's
pool costs some 200 us, of which Redis needs thirty: at a few readings a round that was a third of their time.
"""

from typing import Any

from hiredis import pack_command
from redis import Redis
from redis.connection import Connection
from redis.exceptions import RedisError

Command = tuple[str | bytes | int, ...]


class Exchange:
    """A connection of one's own, kept while all goes well.

    Args:
        redis: one server; of a cluster each command may have another.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: Connection | None = None

    def send(self, *commands: Command) -> None:
        """Send all of them in one write; no reply may be outstanding.

        Raises:
            ConnectionError, TimeoutError: Redis is away, and nobody knows what it has seen.
        """
        connection = self._connection = self._connection or self._pool.get_connection()
        if _is_closed(connection):
            connection.disconnect()
            connection.connect()
        # As redis-py does, but for its look at each argument.
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub knows one argument
        connection.send_packed_command([b"".join(packed)])

    def reply(self) -> Any:
        """Take the next reply, as it was sent; one that is an error is raised as redis-py does.

        Raises:
            ResponseError: Redis has refused the command.
            ConnectionError, TimeoutError: Redis is away.
        """
        return self._connected.read_response()

    def close(self) -> None:
        """Let go of the connection, and of the replies that nobody wants any more."""
        if self._connection:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise AssertionError("nothing was sent")
        return self._connection


def _is_closed(connection: Connection) -> bool:
    """Whether the other end has closed a connection while it was idle, as `timeout`, CLIENT KILL and proxies do."""
    try:
        return connection.can_read()  # as if something had come that nobody asked for
    except (RedisError, OSError):
        return True
