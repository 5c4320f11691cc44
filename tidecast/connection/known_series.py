"""List the names of known series, to suggest one for a mistyped name."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

from redis import Redis

from tidecast.connection.partitions import at_present
from tidecast.settings import Settings
from tidecast.settings.patterns import matches
from tidecast.suggestions import did_you_mean
from tidecast.wire import SEPARATOR, layout_of

MOST = 20_000  # names per partition that are read


def answered_series(redis: Redis, settings: Settings) -> Iterator[str]:
    """Yield the series that have a state, at most `MOST` per partition."""
    mark = SEPARATOR.encode()
    for keys in layout_of(settings).present():
        fields = cast("Iterator[tuple[bytes, bytes]]", redis.hscan_iter(keys.state, count=1000))
        heads = (name for name, _ in fields if mark not in name)
        yield from (name.decode(errors="backslashreplace") for name in islice(heads, MOST))


def unmatched(redis: Redis, settings: Settings, patterns: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each pattern that matches none of the series that have a state."""
    names = sorted(answered_series(redis, at_present(redis, settings)))
    if len(names) < MOST:  # beyond, not all names are read
        for pattern in patterns:
            if not any(matches(name, pattern) for name in names):
                remedy = did_you_mean(pattern, names) if names else "no series has sent a reading yet"
                yield f"no series matches {pattern!r}: {remedy}"
