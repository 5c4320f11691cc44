"""Send commands to Redis in one write, and read the replies later, one at a time.

Redis commits while the worker handles the next batch, and no thread waits for it. A command through redis-py's pool
takes about 200 us; Redis itself needs 30 us. With a few readings in a round, that was a third of the time.
"""

from dataclasses import dataclass
from typing import Any

from hiredis import pack_command
from redis import Redis
from redis.connection import Connection
from redis.exceptions import RedisError

from tidecast.online.kernels.redis_arguments import LINE
from tidecast.online.raw_entries import RawEntries
from worker.partition.exchange.entries_reply import ReceivedBytes, entries_from

Command = tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class PackedArguments:
    """Arguments of a command, one after the other as Redis reads them, and their number."""

    packed: bytes
    count: int


NO_ARGUMENTS = PackedArguments(b"", 0)


class PipelinedConnection:
    """A private connection that is kept open between exchanges.

    Args:
        redis: a single server; in a cluster each command may go to another server.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: Connection | None = None

    def send(self, *commands: Command, more: PackedArguments = NO_ARGUMENTS) -> None:
        """Send all commands in one write; no reply may be outstanding.

        Args:
            commands: the commands.
            more: further arguments of the last command.

        Raises:
            ConnectionError, TimeoutError: Redis does not answer; it may or may not have received the commands.
        """
        connection = self._connection = self._connection or self._pool.get_connection()
        if _is_closed(connection):
            connection.disconnect()
            connection.connect()
        # As redis-py does, but without checking each argument.
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub has one argument
        if more.count:
            packed[-1:] = _announcing(packed[-1], more.count), more.packed
        connection.send_packed_command([b"".join(packed)])

    def reply(self) -> Any:
        """Return the next reply; an error reply is raised as redis-py does.

        Raises:
            ResponseError: Redis has refused the command.
            ConnectionError, TimeoutError: Redis does not answer.
        """
        return self._connected.read_response()

    def entries(self, stream: str) -> RawEntries | None:
        """Return the next reply, which is one to XREAD for this stream; None without entries.

        Raises:
            ResponseError: Redis has refused the command.
            ConnectionError, TimeoutError: Redis does not answer.
        """
        connection = self._connected
        entries, rest = entries_from(ReceivedBytes(connection), stream.encode())
        if rest:
            connection._parser._reader.feed(rest)
        if entries is None:
            self.reply()
        return entries

    def close(self) -> None:
        """Close the connection, and discard the outstanding replies."""
        if self._connection:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise AssertionError("nothing was sent")
        return self._connection


def _announcing(packed: bytes, count: int) -> bytes:
    """Return a packed command that announces so many more arguments."""
    end = packed.index(LINE)
    return b"*%d%b" % (int(packed[1:end]) + count, packed[end:])


def _is_closed(connection: Connection) -> bool:
    """Return whether an idle connection was closed by the other end: by `timeout`, CLIENT KILL or a proxy."""
    try:
        return connection.can_read()  # a closed connection is readable, like one with an unexpected reply
    except (RedisError, OSError):
        return True
