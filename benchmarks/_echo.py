"""`python -m benchmarks._echo REDIS_URL`: the least that a worker on Redis can do, as a yardstick.

It reads batches as the worker reads them and publishes, in one script that moves its offset, one entry for each reading
with the fields of a forecast that the real worker wrote. It parses nothing, keeps no state and knows no model.
"""

import sys
from itertools import cycle, islice
from typing import Any, cast

from redis import Redis

from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of

NAMESPACE = "echo"
_COMMIT = """
local forecasts, offset = unpack(KEYS)
local from, to, kept = unpack(ARGV, 1, 3)
if (redis.call('HGET', offset, 'last') or '0-0') ~= from then
  return redis.error_reply('CONFLICT another echo is at work')
end
local i = 4
while i <= #ARGV do
  local width = tonumber(ARGV[i + 1])
  redis.call('XADD', forecasts, 'MAXLEN', '~', kept, ARGV[i], unpack(ARGV, i + 2, i + 1 + width))
  i = i + 2 + width
end
redis.call('HSET', offset, 'last', to)
"""


def main(url: str) -> None:
    """Echo until terminated; says `ready` once it reads."""
    keys, settings = keys_of(namespace=NAMESPACE), WorkerSettings()
    with Redis.from_url(url, protocol=2) as redis:
        commit = redis.register_script(_COMMIT)
        forecasts = cycle(_real_forecasts(redis, settings.batch))
        last = b"0-0"
        print("ready", flush=True)
        while True:
            reply = cast("list[Any]", redis.xread({keys.readings: last}, count=settings.batch, block=settings.block_ms))
            if not reply:
                continue
            entries = reply[0][1]
            args: list[Any] = [last, entries[-1][0], settings.forecasts_kept]
            for (entry_id, _), fields in zip(entries, islice(forecasts, len(entries)), strict=True):
                args.append(entry_id)
                args += fields
            commit(keys=[keys.forecasts, keys.offset], args=args)
            last = entries[-1][0]


def _real_forecasts(redis: Redis, count: int) -> list[list[bytes]]:
    """What the worker wrote last, each as its width and its fields."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrevrange(keys_of().forecasts, count=count))
    flat = [[part for pair in fields.items() for part in pair] for _, fields in entries]
    return [[b"%d" % len(one), *one] for one in flat]


if __name__ == "__main__":
    main(sys.argv[1])
