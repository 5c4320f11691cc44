"""Reader of the newest dead letters of all partitions, for the page that lists them."""

from contextlib import suppress

from dashboard.data.connected import Connected
from tidecast.connection.partitions import newest_entries
from tidecast.errors import StreamError
from tidecast.wire import DeadLetter, id_pair, layout_of

READ = 2000  # newest dead letters of each partition that are searched


class DeadLetterReader(Connected):
    """A reader of dead letters."""

    def newest(self) -> list[DeadLetter]:
        """Return the newest `READ` dead letters of each partition, newest first, also of those before a repartition.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        letters = []
        for part in layout_of(self._settings).every_part():
            for entry_id, fields in newest_entries(self._redis, part.keys.dead, READ):
                with suppress(StreamError):  # another program wrote it
                    letters.append(DeadLetter.decode(entry_id, fields))
        return sorted(letters, key=lambda letter: id_pair(letter.id), reverse=True)


def series_of(letter: DeadLetter) -> str:
    """Return the series that a reading named, as text; empty if it named none."""
    return letter.fields.get(b"series", b"").decode(errors="backslashreplace")


def select(letters: list[DeadLetter], reason: str, series: str) -> list[DeadLetter]:
    """Return the dead letters of a reason, if one is given, whose series contains a text."""
    text = series.casefold()
    return [
        letter for letter in letters if (not reason or letter.reason == reason) and text in series_of(letter).casefold()
    ]
