"""`python -m benchmarks.harness.reader URL KEY START COUNT`: wait for forecasts in a blocking read.

It prints `ready`. At the end it prints a JSON list with the arrival time of each reading's forecast, in nanoseconds of
the monotonic clock; 0 for a reading without a forecast. It finds the ids in the replies by the worker's compiled loop:
a list and a string for each field would take half a core from the measurement.
"""

import json
import sys
import time

import numpy as np
from redis import Redis

from tidecast.online.raw_entries import RawEntries
from tidecast.tools.sizing.trial_models import FIRST_MS, id_of
from worker.partition.exchange.pipeline import PipelinedConnection

BLOCK_MS = 500
PATIENCE_S = 120.0  # without a new forecast


def main(url: str, key: str, start: int, count: int) -> None:
    """Wait for the forecasts of the readings `start` to `start + count`."""
    arrived = np.zeros(count, np.int64)
    newest = start - 1
    with Redis.from_url(url, protocol=2) as redis:
        pipelined = PipelinedConnection(redis)
        redis.ping()
        RawEntries.of([(id_of(start).decode(), {})])  # load the compiled loop
        print("ready", flush=True)
        news = time.monotonic()
        while not arrived[-1] and time.monotonic() - news < PATIENCE_S:
            pipelined.send(("XREAD", "BLOCK", BLOCK_MS, "STREAMS", key, id_of(newest)))
            entries = pipelined.entries(key)
            if not entries:
                continue
            news = time.monotonic()
            numbers = entries.places.ms.astype(np.int64) - FIRST_MS
            arrived[numbers - start] = time.monotonic_ns()
            newest = int(numbers[-1])
    print(json.dumps(arrived.tolist()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
