"""A consumer that follows the answers while Redis fails, and what Redis holds in the end."""

import threading
import time
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.accidents.verdict import Answers
from tidecast.connection import connect
from tidecast.settings import load_settings


class Follower(threading.Thread):
    """A consumer that reads forecasts and dead letters as they come, and keeps its place whatever happens."""

    def __init__(self, url: str) -> None:
        super().__init__(name="follower", daemon=True)
        self.met: Answers = []
        self._url = url
        self._at: dict[Any, Any] = {"forecasts": "0", "dead": "0"}
        self._left = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self.join()

    def run(self) -> None:
        """Read until the stop flag is set."""
        with connect(load_settings(redis_url=self._url, redis_timeout=2.0)) as redis:
            while not self._left.is_set():
                try:
                    self._read(redis, block_ms=20)
                except RedisError:
                    time.sleep(0.02)

    def catch_up(self, redis: Redis) -> None:
        """Read the rest, and end."""
        self._left.set()
        self.join()
        while self._read(redis, block_ms=None):
            pass

    def _read(self, redis: Redis, block_ms: int | None) -> bool:
        replies: Any = redis.xread(self._at, count=1000, block=block_ms)
        for stream, answers in replies or ():
            self._at[stream.decode()] = answers[-1][0]
            self.met += [(stream.decode(), answer_id, fields) for answer_id, fields in answers]
        return bool(replies)


def published(redis: Redis) -> Answers:
    """Return all forecasts and dead letters."""
    entries_of: Any = {stream: redis.xrange(stream) for stream in ("forecasts", "dead")}
    return [(stream, answer_id, fields) for stream, answers in entries_of.items() for answer_id, fields in answers]
