"""Merge the entries of several streams in the order of their ids, which contain their times."""

from tidecast.connection.cluster import StreamReply
from tidecast.wire import Fields, id_pair

StreamEntry = tuple[str, bytes, Fields]  # key, id, fields


def in_order_of_time(reply: StreamReply, count: int) -> list[StreamEntry]:
    """Return the entries of a reply in the order of their ids, as far as every stream is known.

    A stream that returned `count` entries may have more. Entries of other streams after its last one are left out: read
    them again, after the returned ones.
    """
    full = [id_pair(entries[-1][0]) for _, entries in reply if len(entries) >= count]
    known = min(full, default=None)
    entries = [(key.decode(), *entry) for key, of_stream in reply for entry in of_stream]
    return sorted(
        (entry for entry in entries if known is None or id_pair(entry[1]) <= known), key=lambda entry: id_pair(entry[1])
    )
