"""`python -m benchmarks.harness.reader URL KEY START COUNT`: wait for forecasts in a blocking read.

It prints `ready`. At the end it prints a JSON list with the arrival time of each reading's forecast, in nanoseconds of
the monotonic clock; null for a reading without a forecast.
"""

import json
import sys
import time
from typing import Any, cast

from redis import Redis

from benchmarks.harness.readings import number_of
from tidecast.tools.sizing.trial_models import id_of

BLOCK_MS = 500
PATIENCE_S = 120.0  # without a new forecast


def main(url: str, key: str, start: int, count: int) -> None:
    """Wait for the forecasts of the readings `start` to `start + count`."""
    arrived: list[int | None] = [None] * count
    last = id_of(start - 1)
    with Redis.from_url(url, protocol=2) as redis:
        connection = redis.connection_pool.get_connection()
        print("ready", flush=True)
        news = time.monotonic()
        while arrived[-1] is None and time.monotonic() - news < PATIENCE_S:
            connection.send_command("XREAD", "BLOCK", BLOCK_MS, "STREAMS", key, last)
            reply = cast(
                "list[Any]", connection.read_response()
            )  # faster than `xread`, which builds a dict for each entry
            now = time.monotonic_ns()
            if not reply:
                continue
            news = time.monotonic()
            for entry_id, _ in reply[0][1]:
                arrived[number_of(entry_id) - start] = now
            last = reply[0][1][-1][0]
    print(json.dumps(arrived))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
