"""Reader of the newest dead letters of all partitions, for the page that lists them."""

from dataclasses import dataclass
from typing import Any, Self

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.partitions import newest_entries
from tidecast.settings import Settings
from tidecast.wire import Fields, id_pair, keys_of

READ = 2000  # newest dead letters of each partition that are searched
MOST_BYTES = 200  # of the fields of a reading that are shown
ORIGINAL = b"original."


@dataclass(frozen=True, slots=True)
class ShownLetter:
    """A dead letter as the page shows it.

    Attributes:
        id: its entry id, which is the reading's.
        reason: the code.
        detail: the sentence with the value and the remedy.
        series: the reading's series; empty without one.
        fields: the reading's other fields as text.
    """

    id: str
    reason: str
    detail: str
    series: str
    fields: str

    @classmethod
    def decode(cls, entry_id: bytes, fields: Fields) -> Self:
        """Decode an entry of the stream `dead`; bytes that are not UTF-8 are escaped."""
        sent = {name.removeprefix(ORIGINAL): value for name, value in fields.items() if name.startswith(ORIGINAL)}
        series = _text(sent.pop(b"series", b""))
        shown = " ".join(f"{_text(name)}={_text(value)}" for name, value in sent.items())
        return cls(
            _text(entry_id),
            _text(fields.get(b"reason", b"")),
            _text(fields.get(b"detail", b"")),
            series,
            shown if len(shown) <= MOST_BYTES else f"{shown[:MOST_BYTES]} …",
        )


class DeadLetterReader:
    """A reader of dead letters for all viewers; `newest` blocks for a moment.

    Args:
        settings: where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: Redis | None = None

    def newest(self) -> list[ShownLetter]:
        """Return the newest `READ` dead letters of each partition, newest first.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        if self._redis is None:
            self._redis = connect(self._settings)
        partitions = self._settings.partitions
        letters: list[ShownLetter] = []
        for partition in range(partitions):
            dead = keys_of(partition, partitions, self._settings.namespace).dead
            letters += (ShownLetter.decode(*entry) for entry in newest_entries(self._redis, dead, READ))
        return sorted(letters, key=lambda letter: id_pair(letter.id), reverse=True)


def select(letters: list[ShownLetter], reason: str, series: str) -> list[ShownLetter]:
    """Return the dead letters of a reason, if one is given, whose series contains a text."""
    text = series.casefold()
    return [
        letter
        for letter in letters
        if (not reason or letter.reason == reason) and (not text or text in letter.series.casefold())
    ]


def _text(raw: Any) -> str:
    return bytes(raw).decode(errors="backslashreplace")
