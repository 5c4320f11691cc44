"""Read the entries of a stream page by page as flat lists, without a dict for each entry."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from redis import Redis

from tidecast.connection.cluster import Cluster
from tidecast.connection.lag import was_recreated
from tidecast.connection.partitions import stream_info
from tidecast.connection.portion import Portion, shrinking
from tidecast.wire import Keys

RawEntry = list[Any]  # the id, and a flat list of alternating names and values, all bytes
Page = list[RawEntry]

AT_ONCE = 10_000  # entries of a page
AT_FIRST = 500  # entries of the first page, while their size is unknown
PAGE_BYTES = 16 * 2**20  # about the size of a page: a page holds fewer large entries
_SAMPLE = 100
_LARGEST = 2**64 - 1


def pages_of(
    redis: Redis, key: str, first: bytes, last: bytes, at_once: int = AT_ONCE, page_bytes: int = PAGE_BYTES
) -> Iterator[Page]:
    """Yield the entries from `first` to `last`, ids as for XRANGE; the next page is prefetched on a thread."""
    portion = Portion(at_once)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_page, redis, key, (first, last), min(at_once, AT_FIRST), portion)
        while page := coming.result():
            count = min(at_once, max(1, len(page) * page_bytes // max(1, _size(page))))
            coming = reader.submit(_page, redis, key, (b"(" + page[-1][0], last), count, portion)
            yield page


def newest_pages(redis: Redis, key: str, most: int, at_once: int) -> Iterator[Page]:
    """Yield the newest entries of a stream, `most` at most, newest first."""
    last = b"+"
    portion = Portion(at_once)
    while most > 0 and (page := _page(redis, key, (last, b"-"), min(at_once, most), portion, "XREVRANGE")):
        yield page
        most -= len(page)
        last = b"(" + page[-1][0]


def committed(redis: Redis, keys: Keys) -> bytes | None:
    """Return the id of the last entry that a worker has processed; None before the first.

    It is also None while all ids of the stream are before that id: the stream was deleted and created again, and none
    of its entries has been processed yet.
    """
    last = cast("bytes | None", redis.hget(keys.offset, "last"))
    if last is None or last == b"0-0":
        return None
    info = stream_info(redis, keys.readings)
    return None if info and was_recreated(info, last.decode()) else last


def pair(entry_id: bytes) -> tuple[int, int]:
    """Return an entry id as two numbers, which compare as Redis compares ids."""
    ms, _, seq = entry_id.partition(b"-")
    return int(ms), int(seq)


def successor(entry_id: bytes) -> bytes:
    """Return the least id above this one."""
    ms, seq = pair(entry_id)
    return b"%d-%d" % ((ms, seq + 1) if seq < _LARGEST else (ms + 1, 0))


def _page(
    redis: Redis, key: str, span: tuple[bytes, bytes], count: int, portion: Portion, command: str = "XRANGE"
) -> Page:
    """Read at most `count` entries, or fewer if Redis cannot send them in one reply."""
    page = shrinking(redis, portion, lambda most: _asked(redis, command, key, *span, min(count, most)))
    portion.went_well()
    return page


def _asked(redis: Redis, command: str, key: str, first: bytes, last: bytes, count: int) -> Page:
    while True:
        for client in _clients(redis):
            client.set_response_callback(command, _as_sent)
        page = redis.execute_command(command, key, first, last, "COUNT", count)
        # A server new to the slot lacks the callback and returned dicts, which lose repeated fields: read again.
        if not page or isinstance(page[0], list):
            return cast("Page", page)


def _clients(redis: Redis) -> list[Any]:
    client: object = redis
    if isinstance(client, Cluster):
        return [client.get_redis_connection(node) for node in client.nodes_manager.nodes_cache.values()]
    return [client]


def _as_sent(reply: Any, **_: Any) -> Any:
    return reply


def _size(page: Page) -> int:
    """Return about how many bytes a page's fields have."""
    step = max(1, len(page) // _SAMPLE)
    return step * sum(len(raw) for _, fields in page[::step] for raw in fields)
