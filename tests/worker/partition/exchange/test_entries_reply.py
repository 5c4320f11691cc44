"""A reply to XREAD is received whole, however the network cuts it, and nothing of the next reply is lost."""

import socket
from types import SimpleNamespace
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import strategies as st
from redis.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.online.batch import Entry
from worker.partition.exchange import entries_reply
from worker.partition.exchange.entries_reply import ReceivedBytes, entries_from

TEXTS = st.binary(max_size=30)
ENTRIES = st.lists(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4), min_size=1, max_size=12)
REST = b"*2\r\n$6\r\nlength\r\n:7\r\n"


class Pieces:
    """A socket from which the bytes come in pieces."""

    def __init__(self, sent: bytes, cuts: list[int]) -> None:
        ends = sorted({min(cut, len(sent)) for cut in cuts} | {len(sent)})
        self.pieces = [sent[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if end > begin]

    def recv_into(self, room: memoryview) -> int:
        """Write the next piece, or as much of it as there is room for."""
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        count = min(len(piece), len(room))
        room[:count] = piece[:count]
        if piece[count:]:
            self.pieces.insert(0, piece[count:])
        return count


def received_from(source: Any) -> ReceivedBytes:
    """Return the bytes that come from a socket."""
    return ReceivedBytes(cast("Connection", SimpleNamespace(_sock=source)))


def bulk(raw: bytes) -> bytes:
    """Return a text as Redis sends it."""
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def reply_of(entries: list[Entry]) -> bytes:
    """Return the reply to XREAD of a stream named `readings`."""
    sent = b"*1\r\n*2\r\n$8\r\nreadings\r\n*%d\r\n" % len(entries)
    for entry_id, fields in entries:
        texts = [text for pair in fields.items() for text in pair]
        sent += b"*2\r\n" + bulk(entry_id.encode()) + b"*%d\r\n" % len(texts) + b"".join(map(bulk, texts))
    return sent


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(ENTRIES, st.lists(st.integers(1, 600), max_size=30), st.sampled_from([1, 7, 2**16]))
def test_entries_are_those_that_were_sent_however_they_are_cut(
    sent: list[dict[bytes, bytes]], cuts: list[int], room: int
) -> None:
    """Names and values may hold any bytes, among them the ends of lines; the rest belongs to the next reply."""
    entries: list[Entry] = [(f"{1_700_000_000_000 + n}-{n}", fields) for n, fields in enumerate(sent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries_reply, "ROOM", room)
        pieces = Pieces(reply_of(entries) + REST, cuts)
        received, rest = entries_from(received_from(pieces), b"readings")
    assert received is not None
    assert entries == list(received)
    assert [entry_id for entry_id, _ in entries] == received.ids
    assert entries[1:3] == list(received[1:3])
    assert rest + b"".join(pieces.pieces) == REST


@pytest.mark.parametrize("reply", [b"*-1\r\n", b"-ERR no such stream\r\n", b"*1\r\n*2\r\n$5\r\nother\r\n*0\r\n"])
def test_a_reply_without_entries_is_handed_on_as_it_came(reply: bytes) -> None:
    """Redis' errors are then raised as usual."""
    pieces = Pieces(reply, [1, 2])
    received, rest = entries_from(received_from(pieces), b"readings")
    assert received is None
    assert rest + b"".join(pieces.pieces) == reply


def test_a_connection_that_closes_or_says_nothing_is_an_error() -> None:
    """As redis-py reports it, so that the same read is tried again."""
    with pytest.raises(RedisConnectionError):
        entries_from(received_from(Pieces(reply_of([("1-0", {b"a": b"b"})])[:-3], [])), b"readings")
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.01)
        with pytest.raises(RedisTimeoutError):
            entries_from(received_from(near), b"readings")
        far.close()
        near.close()
        with pytest.raises(RedisConnectionError):
            entries_from(received_from(near), b"readings")
