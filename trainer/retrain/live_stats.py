"""What happened to the series of a partition since their models were made, from the streams of its workers."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from redis import Redis

from tidecast.connection.paging import newest_pages, pages_of, pair

MOST = 100_000  # forecasts looked at, the newest: about half of a second
AT_ONCE = 2000  # of them: Redis answers nobody else for as long as it prepares a page
FEWEST = 8  # forecasts that say something of a model


def drifts_since(redis: Redis, key: str, since_ms: Mapping[str, int]) -> Counter[str]:
    """How often drift was told of each series since its moment, epoch milliseconds; `key` is the events' stream."""
    found: Counter[str] = Counter()
    first = b"%d-0" % max(0, min(since_ms.values(), default=0))
    for page in pages_of(redis, key, first, b"+") if since_ms else ():
        for entry_id, flat in page:
            fields = _fields(flat)
            name = fields.get(b"series", b"").decode(errors="replace")
            if fields.get(b"kind") == b"drift" and name in since_ms and pair(entry_id)[0] >= since_ms[name]:
                found[name] += 1
    return found


def live_errors(redis: Redis, key: str, versions: Mapping[str, int], most: int = MOST) -> dict[str, float]:
    """The mean absolute error of each series' champion in the newest forecasts; `key` is their stream.

    Args:
        redis: where they are.
        key: of the stream.
        versions: by series, the champion's.
        most: how many forecasts, of all series together, are looked at.
    """
    asked = {name.encode(): b"%d" % version for name, version in versions.items()}
    errors: dict[bytes, list[float]] = defaultdict(list)
    for page in newest_pages(redis, key, most, AT_ONCE) if asked else ():
        for _, flat in page:
            fields = _fields(flat)
            name, error = fields.get(b"series", b""), fields.get(b"error")
            if error is not None and name in asked and fields.get(b"model") == asked[name]:
                errors[name].append(abs(float(error)))
    return {name.decode(): sum(found) / len(found) for name, found in errors.items() if len(found) >= FEWEST}


def _fields(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
