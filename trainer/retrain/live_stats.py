"""Drift events and live errors of a partition's series since their models were made, from the workers' streams."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from redis import Redis

from tidecast.connection.paging import newest_pages, pages_of, pair
from tidecast.wire import DRIFTS

MOST = 100_000  # newest forecasts to read: takes about half a second
AT_ONCE = 2000  # forecasts per page: Redis is blocked while it prepares a page
FEWEST = 8  # forecasts needed for a mean error


def drifts_since(redis: Redis, key: str, since_ms: Mapping[str, int]) -> Counter[str]:
    """Count the drift events of each series since a time of its own.

    Args:
        redis: the connection.
        key: of the stream of events.
        since_ms: by series, epoch milliseconds.
    """
    drifts: Counter[str] = Counter()
    first = b"%d-0" % max(0, min(since_ms.values(), default=0))
    for page in pages_of(redis, key, first, b"+") if since_ms else ():
        for entry_id, flat in page:
            fields = _fields(flat)
            name = fields.get(b"series", b"").decode(errors="replace")
            if fields.get(b"kind", b"").decode() in DRIFTS and name in since_ms and pair(entry_id)[0] >= since_ms[name]:
                drifts[name] += 1
    return drifts


def live_errors(redis: Redis, key: str, versions: Mapping[str, int], most: int = MOST) -> dict[str, float]:
    """Return the mean absolute error of each series' champion in the newest forecasts.

    Args:
        redis: the connection.
        key: of the stream of forecasts.
        versions: by series, the champion's version.
        most: how many forecasts, of all series together, are read.
    """
    asked = {name.encode(): b"%d" % version for name, version in versions.items()}
    errors: dict[bytes, list[float]] = defaultdict(list)
    for page in newest_pages(redis, key, most, AT_ONCE) if asked else ():
        for _, flat in page:
            fields = _fields(flat)
            name = fields.get(b"series", b"")
            error = fields.get(b"error")
            if error is not None and name in asked and fields.get(b"model") == asked[name]:
                errors[name].append(abs(float(error)))
    return {name.decode(): sum(sizes) / len(sizes) for name, sizes in errors.items() if len(sizes) >= FEWEST}


def _fields(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
