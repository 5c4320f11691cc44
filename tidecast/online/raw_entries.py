"""Entries of `readings` as Redis sends them: bytes, and the places of the entries in them."""

from collections.abc import Sequence
from typing import Self, overload

import numpy as np

from tidecast.arrays import Bytes, byte_array
from tidecast.online.batch import Entry
from tidecast.online.kernels.entries import Places, find_entries
from tidecast.online.kernels.redis_arguments import LINE


class RawEntries(Sequence[Entry]):
    """Entries of one reply; each is decoded when it is asked for.

    Args:
        reply: the bytes received.
        places: where the entries lie in them.

    Attributes:
        reply: the bytes received.
        places: where the entries lie in them.
    """

    def __init__(self, reply: Bytes, places: Places) -> None:
        self.reply = reply
        self.places = places
        self._ids: list[str] | None = None

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Encode entries as Redis sends them."""
        parts: list[bytes] = []
        for entry_id, fields in entries:
            parts += (b"*2\r\n", _text(entry_id.encode()), b"*%d\r\n" % (2 * len(fields)))
            parts += (_text(name) + _text(value) for name, value in fields.items())
        reply = byte_array(b"".join(parts))
        places = new_places(len(entries))
        if entries:  # an import that makes an empty list compiles nothing
            find_entries(reply, 0, places, 0)
        return cls(reply, places)

    def __len__(self) -> int:
        return len(self.places.size)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> "RawEntries": ...

    def __getitem__(self, at: int | slice) -> "Entry | RawEntries":
        if isinstance(at, slice):
            return RawEntries(self.reply, Places._make(column[at] for column in self.places))
        return self.ids[at], self._fields(at)

    @property
    def ids(self) -> list[str]:
        """Return the ids."""
        if self._ids is None:
            text = self.reply.tobytes().decode("latin-1")  # a character for each byte; ids are digits
            begins = self.places.id_at
            ends = (begins + self.places.id_length).tolist()
            self._ids = [text[begin:end] for begin, end in zip(begins.tolist(), ends, strict=True)]
        return self._ids

    def _fields(self, i: int) -> dict[bytes, bytes]:
        begin = int(self.places.fields_at[i])
        raw = self.reply[begin : self.places.end[i]].tobytes()
        texts = []
        at = 0
        while at < len(raw):  # lines such as `$5`, each followed by so many bytes and the end of a line
            text_at = raw.index(LINE, at) + len(LINE)
            end = text_at + int(raw[at + 1 : text_at - len(LINE)])
            texts.append(raw[text_at:end])
            at = end + len(LINE)
        return dict(zip(texts[::2], texts[1::2], strict=True))


def new_places(count: int) -> Places:
    """Return the arrays for so many entries."""
    kinds = 6 * (np.int64,) + 2 * (np.uint64,)
    return Places._make(np.zeros(count, kind) for kind in kinds)


def _text(raw: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(raw), raw)
