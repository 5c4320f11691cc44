"""Redis is there and answers, but for a while it refuses to write, or to do anything at all.

Each refusal is the reply of a real server whose memory, disk, replicas or user script give out. Here a setting brings
it about, and takes it back. A killed server forgets it: the setting is not kept in its file.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redis import Connection, Redis
from redis.exceptions import RedisError

BUSY_AFTER_MS = 20  # how long a script runs before Redis returns BUSY to the others
PRESSURE = 0.5  # of the memory in use: less than there is, also once it has freed the rest


@contextmanager
def out_of_memory(redis: Redis) -> Iterator[None]:
    """OOM: commands that need memory are refused, and no key is evicted."""
    used = int(redis.info("memory")["used_memory"])
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", int(PRESSURE * used))
    yield
    redis.config_set("maxmemory", 0)


@contextmanager
def no_replicas(redis: Redis) -> Iterator[None]:
    """NOREPLICAS: writes are refused while no replica would get them."""
    redis.config_set("min-replicas-to-write", 1)
    yield
    redis.config_set("min-replicas-to-write", 0)


@contextmanager
def no_snapshot(redis: Redis) -> Iterator[None]:
    """MISCONF: writes are refused since the last snapshot could not be written.

    Its place is taken by a directory, onto which no file can be moved.
    """
    place = Path(str(redis.config_get("dir")["dir"]), str(redis.config_get("dbfilename")["dbfilename"]))
    place.mkdir(exist_ok=True)
    redis.config_set("save", "86400 1")
    redis.bgsave()
    yield
    redis.config_set("save", "")


@contextmanager
def busy(redis: Redis) -> Iterator[None]:
    """BUSY: a script does not end, and all other clients wait."""
    redis.config_set("lua-time-limit", BUSY_AFTER_MS)
    somebody = Connection(**redis.connection_pool.connection_kwargs)
    try:
        somebody.connect()
        somebody.send_command("EVAL", "while true do end", 0)  # its reply does not matter
        yield
        redis.script_kill()
        with suppress(RedisError):
            somebody.read_response()  # it ends a moment later
    finally:
        somebody.disconnect()


REFUSALS: dict[str, Callable[[Redis], object]] = {
    "OOM": out_of_memory,
    "NOREPLICAS": no_replicas,
    "MISCONF": no_snapshot,
    "BUSY": busy,
}


class Refusing:
    """A refusal that has begun and will be taken back."""

    def __init__(self, url: str, name: str) -> None:
        self._ends = ExitStack()
        redis = self._ends.enter_context(Redis.from_url(url, protocol=2))
        self._ends.enter_context(REFUSALS[name](redis))  # type: ignore[arg-type] # a context manager each

    def end(self) -> None:
        """Take it back; a server that was killed in between has forgotten it."""
        with suppress(RedisError):
            self._ends.close()
