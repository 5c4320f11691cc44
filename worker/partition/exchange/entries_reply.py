"""Receive a reply to XREAD as it comes from the socket, without a Python object for each field."""

from typing import Any

import numpy as np
from redis.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.arrays import Bytes
from tidecast.online.kernels.entries import find_entries
from tidecast.online.kernels.redis_arguments import LINE
from tidecast.online.raw_entries import RawEntries, new_places

ROOM = 2**16  # bytes: a reply with more entries gets more room


class ReceivedBytes:
    """The bytes of a reply received so far.

    Args:
        connection: a connection through which a command was sent.
    """

    def __init__(self, connection: Connection) -> None:
        self._socket: Any = connection._sock
        self._room: Bytes = np.empty(ROOM, np.uint8)
        self._size = 0

    @property
    def so_far(self) -> Bytes:
        """Return the bytes, a view."""
        return self._room[: self._size]

    def receive(self) -> None:
        """Wait for more bytes.

        Raises:
            ConnectionError: the connection was closed.
            TimeoutError: nothing came in time.
        """
        if self._size == len(self._room):
            self._room = np.concatenate([self._room, np.empty(len(self._room), np.uint8)])
        try:
            count = self._socket.recv_into(self._room.data[self._size :])
        except TimeoutError as exc:
            raise RedisTimeoutError("Timeout reading from socket") from exc
        except OSError as exc:
            raise RedisConnectionError(f"Error while reading from socket: {exc}") from exc
        if count == 0:
            raise RedisConnectionError("Connection closed by server.")
        self._size += count


def entries_from(received: ReceivedBytes, stream: bytes) -> tuple[RawEntries | None, bytes]:
    """Receive the entries of the next reply, which is one to XREAD for this stream.

    Returns:
        The entries, and the bytes received after the reply. None: the reply holds no entries or is an error,
        and the bytes are those of the reply.

    Raises:
        ConnectionError: the connection was closed.
        TimeoutError: nothing came in time.
    """
    head = b"*1\r\n*2\r\n$%d\r\n%b\r\n*" % (len(stream), stream)
    while True:
        received.receive()
        begin = received.so_far[: len(head)].tobytes()
        if not head.startswith(begin):
            return None, received.so_far.tobytes()
        count, at = _number_after(received.so_far, len(head))
        if at:
            break
    places = new_places(count)
    done = 0
    while True:
        done, at = find_entries(received.so_far, at, places, done)
        if done == count:
            return RawEntries(received.so_far[:at], places), received.so_far[at:].tobytes()
        received.receive()


def _number_after(received: Bytes, at: int) -> tuple[int, int]:
    """Return the number in the rest of a line, and where the next line begins; 0 and 0 if it is not complete."""
    line, end, _ = received[at : at + 32].tobytes().partition(LINE)
    return (int(line), at + len(line) + len(LINE)) if end else (0, 0)
