"""Read the whole stream of values that are known ahead, for training and for the doctor."""

from redis import Redis

from tidecast.connection.paging import pages_of
from tidecast.errors import BadReading
from tidecast.models.known.entries import add_entries
from tidecast.models.known.values import ALWAYS, KnownValues
from tidecast.settings import Settings
from tidecast.wire import id_pair
from tidecast.wire.known import KnownEntry, known_keys, parse_known


def read_known_stream(redis: Redis, settings: Settings) -> KnownValues:
    """Read all entries; those that a worker rejects are left out.

    The moment of a value is its field `known_at`, else the time of its entry. An entry that arrived only after the time
    that it is for was loaded later, and counts as always known.

    Raises:
        RedisError: Redis does not answer, or refuses.
    """
    values = KnownValues()
    for page in pages_of(redis, known_keys(settings.namespace)[0], b"-", b"+"):
        entries: list[tuple[int, KnownEntry]] = []
        for entry_id, flat in page:
            try:
                entry = parse_known(dict(zip(flat[::2], flat[1::2], strict=True)), settings.series.max_entry_bytes)
            except BadReading:
                continue
            arrived = id_pair(entry_id)[0]
            by_arrival = arrived if arrived < entry.ts else ALWAYS
            entries.append((by_arrival if entry.known_at is None else entry.known_at, entry))
        add_entries(values, entries)
    return values
