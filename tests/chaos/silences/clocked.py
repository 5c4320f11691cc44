"""A worker whose clock is a key in Redis, and which dies around commits that report silent and returning series."""

import os
import signal
import time
from typing import Any

from redis import Redis

from tidecast.settings import Settings, load_settings
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.partition.stream import Stream

CLOCK = "clock"  # epoch seconds
SETTLED = "settled"  # the time up to which everything is answered and reported
KILLS = "kills"  # how often workers have killed themselves
LEFT = "left"  # how often they still may
COMMITS = "commits"  # attempts to commit a silence or a return
OF_SILENCES = {"silent", "back"}


def main() -> None:
    """Serve until killed."""
    settings = load_settings()
    with Redis.from_url(settings.redis_url.get_secret_value(), protocol=2) as redis:
        _let_die(redis)
        worker = clocked_worker(settings)
        while True:
            now, settled = (float(raw or 0) for raw in redis.mget(CLOCK, SETTLED))
            if now == settled:  # readings come together with the next time; before it they would be ahead of the clock
                time.sleep(0.001)
            elif worker.step(now) == 0:
                redis.set(SETTLED, now)


def clocked_worker(settings: Settings) -> Worker:
    """Return a worker as the program makes it."""
    return make_worker(settings, Health())


def _let_die(redis: Redis) -> None:
    """Kill this process before the first of three such commits, and after the second."""
    commit = Stream.commit

    def mortal(self: Stream, epoch: int, started_from: str, result: Any, *more: Any) -> None:
        attempt = int(redis.incr(COMMITS)) % 3 if OF_SILENCES & {event.kind for event in result.events} else 0
        if attempt == 1:
            _die(redis)
        commit(self, epoch, started_from, result, *more)
        if attempt == 2:
            _die(redis)

    Stream.commit = mortal  # type: ignore[method-assign] # in this process alone


def _die(redis: Redis) -> None:
    if int(redis.decr(LEFT)) >= 0:
        redis.incr(KILLS)
        os.kill(os.getpid(), signal.SIGKILL)
