"""List the names of known series, to suggest one for a mistyped name."""

from collections.abc import Iterator
from itertools import islice
from typing import cast

from redis import Redis

from tidecast.settings import Settings
from tidecast.wire import SEPARATOR, layout_of

MOST = 20_000  # names per partition that are read


def answered_series(redis: Redis, settings: Settings) -> Iterator[str]:
    """Yield the series that have a state, at most `MOST` per partition."""
    mark = SEPARATOR.encode()
    for keys in layout_of(settings).present():
        fields = cast("Iterator[tuple[bytes, bytes]]", redis.hscan_iter(keys.state, count=1000))
        heads = (name for name, _ in fields if mark not in name)
        yield from (name.decode(errors="backslashreplace") for name in islice(heads, MOST))
