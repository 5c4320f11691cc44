"""`python -m benchmarks.harness.pusher URL KEY SERIES START COUNT RATE`: push readings, each when it is due.

It prints `ready` and reads the start time from standard input, in nanoseconds of the monotonic clock. At the end it
prints the 99th percentile of its delays in milliseconds.
"""

import math
import sys
import time

import numpy as np
from redis import Redis

from benchmarks.harness.readings import PacedPush, Readings

TICK_S = 0.0005  # readings that fall due between two ticks are pushed together


def main(url: str, key: str, series: int, start: int, count: int, rate: float) -> None:
    """Push readings `start` to `start + count`, `rate` a second; overdue readings are pushed together."""
    with Redis.from_url(url, protocol=2) as redis:
        push = PacedPush(redis, key, Readings(series), start, start + count)
        redis.ping()
        print("ready", flush=True)
        begin = int(sys.stdin.readline())
        late = [0.0]
        pushed = 0
        while pushed < count:
            now = time.monotonic_ns()
            due = min(count, int((now - begin) * 1e-9 * rate) + 1 if now >= begin else 0)
            if due == pushed:
                time.sleep(max(0.0, (begin - now) * 1e-9 + _tick_after(pushed / rate)))
                continue
            push(pushed, due)
            late.append((time.monotonic_ns() - begin) / 1e6 - 1000 * pushed / rate)
            pushed = due
        push.finish()
    print(float(np.percentile(late, 99)))


def _tick_after(seconds: float) -> float:
    """Return the first tick that is not before a time, in seconds."""
    return TICK_S * math.ceil(round(seconds / TICK_S, 6))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
