"""Follow a pipe: yield its lines after each short pause, so that lines do not wait for the end."""

import os
import select
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tidecast.errors import HistoryError
from tidecast.files import parquet
from tidecast.files.tables import GZIP, STDIN

PAUSE_S = 0.25  # lines are yielded after a pause of this length
LONGEST_S = 1.0  # or once the oldest of them has waited this long
MOST_BYTES = 1 << 20  # or once there are more bytes than this
BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of a pipe; only the last piece may end within a line."""

    data: bytes
    is_last: bool


def descriptor_of(source: str) -> int | None:
    """Return the descriptor of a pipe, a socket or a terminal; None if the source is a file or a directory.

    Opening a named pipe waits until another program writes to it.

    Raises:
        HistoryError: the pipe cannot be opened.
    """
    try:
        if source == STDIN:
            descriptor = sys.stdin.fileno()
            return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else descriptor
        return os.open(source, os.O_RDONLY) if Path(source).is_fifo() else None
    except (AttributeError, ValueError):  # standard input is closed, or is an object of Python
        return None
    except OSError as exc:
        if source == STDIN:
            return None
        raise HistoryError(f"{source} cannot be read ({exc.strerror}): check the path and its permissions") from exc


def pieces_of(descriptor: int, source: str) -> Iterator[Piece]:
    """Yield the lines of a pipe as they arrive, decompressed if they are gzip; on Ctrl+C, yield the pending lines.

    Raises:
        HistoryError: the gzip data are damaged.
    """
    pending = bytearray()
    unpack = _Unpacker(source)
    began: float | None = None  # when the oldest whole line arrived
    try:
        while True:
            whole = pending.rfind(b"\n") + 1 if not pending.startswith(parquet.MAGIC) else 0
            if not whole:
                began = None
            elif began is None:
                began = time.monotonic()
            if _is_due(descriptor, began) or whole > MOST_BYTES:
                yield Piece(_taken(pending, whole), is_last=False)
                continue
            block = os.read(descriptor, BLOCK)
            if not block:
                break
            pending += unpack(block)
    except KeyboardInterrupt:
        yield Piece(_taken(pending, pending.rfind(b"\n") + 1), is_last=False)
        raise
    pending += unpack.close()
    yield Piece(bytes(pending), is_last=True)


def _is_due(descriptor: int, began: float | None) -> bool:
    """Wait for more data; return whether the pending lines must be yielded first."""
    if began is None:
        select.select([descriptor], [], [])
        return False
    left_s = began + LONGEST_S - time.monotonic()
    return left_s <= 0 or not select.select([descriptor], [], [], min(PAUSE_S, left_s))[0]


def _taken(pending: bytearray, count: int) -> bytes:
    taken = bytes(pending[:count])
    del pending[:count]
    return taken


class _Unpacker:
    """A decompressor of gzip data; other data are passed on unchanged."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._head = b""
        self._gzip: zlib._Decompress | None = None
        self._is_known = False

    def __call__(self, block: bytes) -> bytes:
        if not self._is_known:
            self._head += block
            if len(self._head) < len(GZIP):
                return b""
            self._is_known = True
            block = self._head
            if block.startswith(GZIP):
                self._gzip = zlib.decompressobj(wbits=31)
        return block if self._gzip is None else self._unpacked(block)

    def _unpacked(self, block: bytes) -> bytes:
        try:
            data = b""
            while block:
                if self._gzip is None or self._gzip.eof:  # another member follows
                    self._gzip = zlib.decompressobj(wbits=31)
                data += self._gzip.decompress(block)
                block = self._gzip.unused_data
            return data
        except zlib.error as exc:
            raise HistoryError(f"{self._source} is a damaged gzip file ({exc}): copy or compress it again") from exc

    def close(self) -> bytes:
        """Return data that were too short to be recognised; raise a HistoryError if gzip data are incomplete."""
        if self._gzip is not None and not self._gzip.eof:
            raise HistoryError(f"{self._source} is a damaged gzip file (it was cut short): copy or compress it again")
        return b"" if self._is_known else self._head
