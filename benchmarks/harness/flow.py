"""A steady flow of readings through a contestant: measures the delay of each forecast and the growth of the queue."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import pusher, reader
from benchmarks.harness.contestants import Contestant
from benchmarks.harness.processes import helper
from benchmarks.harness.readings import number_of
from tidecast.connection.embedded import EmbeddedRedis

HEAD_START_NS = 200_000_000  # from the message to the pusher until its first reading is due
SAMPLE_S = 0.05  # between two samples of the queue
SETTLING = 0.2  # of a flow: the queue is not sampled until then


@dataclass(frozen=True, slots=True)
class Flow:
    """The measurements of a flow.

    Attributes:
        ms: milliseconds from the time at which a reading was due until its forecast was read; without lost ones.
        due_s: the times at which those readings were due, by the monotonic clock.
        lost: the number of readings without a forecast.
        late_ms: the 99th percentile of the pusher's delay, which is part of `ms`.
    """

    ms: NDArray[np.float64]
    due_s: NDArray[np.float64]
    lost: int
    late_ms: float

    def percentile(self, share: float) -> float:
        """Return a percentile of the delays in milliseconds; `share` is in per cent."""
        return float(np.percentile(self.ms, share)) if len(self.ms) else float("inf")


def flow(
    contestant: Contestant,
    server: EmbeddedRedis,
    rate: float,
    seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Flow:
    """Push `rate` readings a second from one process, and read their forecasts in another.

    Args:
        contestant: the program to measure.
        server: its Redis.
        rate: readings a second.
        seconds: the duration.
        meanwhile: called once the first reading is due.
    """
    start = contestant.pushed
    count = round(rate * seconds)
    with (
        helper(server, reader.__name__, contestant.keys.forecasts, start, count) as reading,
        _pushing(contestant, server, count, rate) as pushing,
    ):
        begin = _begin(pushing)
        _sleep_until(begin)
        meanwhile()
        late_ms = float(pushing.communicate()[0])
        arrived = np.array(json.loads(reading.communicate()[0]))
    due_s = np.arange(count) / rate
    took = (arrived - begin) / 1e6 - 1000 * due_s
    contestant.empty()
    answered = arrived > 0
    return Flow(took[answered], begin / 1e9 + due_s[answered], int((~answered).sum()), late_ms)


def queue_growth(contestant: Contestant, server: EmbeddedRedis, rate: float, seconds: float) -> float:
    """Return the share of `rate` readings a second that queues up: 0 if the queue does not grow."""
    start = contestant.pushed
    count = round(rate * seconds)
    samples: list[tuple[float, int]] = []
    with _pushing(contestant, server, count, rate) as pushing:
        begin = _begin(pushing)
        _sleep_until(begin + round(SETTLING * seconds * 1e9))
        while pushing.poll() is None:
            pushed = _newest(contestant, contestant.keys.readings, start)
            if pushed >= start + count:
                break
            behind = pushed - _newest(contestant, contestant.keys.forecasts, start)
            samples.append((time.monotonic(), behind))
            time.sleep(SAMPLE_S)
        pushing.communicate()
    contestant.await_answers()
    contestant.empty()
    if len(samples) < 2:
        return 0.0
    at, behind_at = np.array(samples).T
    return float(np.polyfit(at - at[0], behind_at, 1)[0]) / rate


@contextmanager
def _pushing(contestant: Contestant, server: EmbeddedRedis, count: int, rate: float) -> Iterator[subprocess.Popen[str]]:
    start = contestant.pushed
    contestant.pushed += count
    key = contestant.keys.readings
    series = contestant.readings.series
    with helper(server, pusher.__name__, key, series, start, count, rate) as process:
        yield process


def _begin(pushing: subprocess.Popen[str]) -> int:
    """Send the pusher the time at which its first reading is due, in nanoseconds of the monotonic clock; return it."""
    begin = time.monotonic_ns() + HEAD_START_NS
    if pushing.stdin is None:
        raise RuntimeError("the pusher has no standard input")
    pushing.stdin.write(f"{begin}\n")
    pushing.stdin.flush()
    return begin


def _sleep_until(ns: int) -> None:
    time.sleep(max(0.0, (ns - time.monotonic_ns()) * 1e-9))


def _newest(contestant: Contestant, key: str, otherwise: int) -> int:
    """Return the number of the newest reading or forecast in a stream, plus one; `otherwise` if it is empty."""
    newest = contestant.newest(key)
    return otherwise if newest is None else number_of(newest) + 1
