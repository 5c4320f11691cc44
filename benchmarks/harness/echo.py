"""`python -m benchmarks.harness.echo REDIS_URL`: the minimal work of a worker on Redis, as a yardstick.

It reads batches as the worker does. For each reading it publishes one entry with the fields of a forecast by the real
worker, by one script that also moves its offset. The fields are prepared once, in the worker's format. It does not
parse readings, keep state or load models.
"""

import json
import sys
from collections.abc import Sequence
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
local ids, names, columns, entry = cjson.decode(ARGV[4]), {}, {}, {}
for i = 5, #ARGV, 2 do
  names[#names + 1], columns[#columns + 1] = ARGV[i], cjson.decode(ARGV[i + 1])
end
for k = 1, #ids do
  local n = 0
  for j = 1, #names do
    local value = columns[j][(k - 1) % #columns[j] + 1]
    if value ~= cjson.null then
      entry[n + 1], entry[n + 2] = names[j], value
      n = n + 2
    end
  end
  redis.call('XADD', forecasts, 'MAXLEN', '~', kept, ids[k], unpack(entry, 1, n))
end
redis.call('HSET', offset, 'last', to)
"""


def main(url: str) -> None:
    """Echo until terminated; print `ready` before the first read."""
    keys = keys_of(namespace=NAMESPACE)
    settings = WorkerSettings()
    with Redis.from_url(url, protocol=2) as redis:
        commit = redis.register_script(_COMMIT)
        forecasts = _real_forecasts(redis, settings.batch)
        prepared: dict[int, list[str | bytes]] = {}  # by the size of the batch
        last = b"0-0"
        print("ready", flush=True)
        while True:
            reply = cast(
                "list[Any]",
                redis.xread({keys.readings: last}, count=settings.batch, block=round(1000 * settings.block)),
            )
            if not reply:
                continue
            ids = [entry_id for entry_id, _ in reply[0][1]]
            if len(ids) not in prepared:
                prepared[len(ids)] = _columns(forecasts[: len(ids)])
            as_json = b'["%b"]' % b'","'.join(ids)
            commit(
                keys=[keys.forecasts, keys.offset],
                args=[last, ids[-1], settings.forecasts_kept, as_json, *prepared[len(ids)]],
            )
            last = ids[-1]


def _real_forecasts(redis: Redis, count: int) -> list[dict[str, str]]:
    """Return the worker's newest forecasts."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrevrange(keys_of().forecasts, count=count))
    return [{name.decode(): text.decode() for name, text in fields.items()} for _, fields in entries]


def _columns(forecasts: Sequence[dict[str, str]]) -> list[str | bytes]:
    """Return the name of each field and a JSON list of its texts, null where an entry lacks the field."""
    names = dict.fromkeys(name for fields in forecasts for name in fields)
    return [part for name in names for part in (name, json.dumps([fields.get(name) for fields in forecasts]))]


if __name__ == "__main__":
    main(sys.argv[1])
