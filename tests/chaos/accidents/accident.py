"""Accidents that destroy data: the loss is bounded, and the workers go on by themselves.

Each is checked from the input alone: every reading has its series, time and value, and its forecast repeats them.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.accidents.follower import Follower, published
from tests.chaos.accidents.readings import make_steady
from tests.chaos.accidents.verdict import Verdict, check_counts, judge
from tests.chaos.faults.points import send, start_mortal
from tests.chaos.faults.proxy import Proxy
from tests.chaos.harness import entry_id, make_store
from tests.chaos.producer import Producer
from tests.harness.patience import PATIENCE_S, until
from tidecast.connection.embedded import EmbeddedRedis, free_port

RATE = 300  # readings a second
LOAD_S = 0.4  # of readings before the accident, and after it
LONGEST_S = 30  # of readings there are
SETTINGS = """
redis_timeout = 1.0
[worker]
lease = 0.6
batch = 50
block = "20ms"
"""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec")
REPLICATED = ("--repl-diskless-sync-delay", "0")
UNSYNCED_S = 0.5  # the last writes, which `everysec` may not have synced when the power fails
STRETCH_S = 0.4  # how long a replica is cut off before its master dies, and how long it is not yet promoted
TRIMMED_TO = 20


@dataclass(slots=True)
class Scene:
    """A running Tidecast: the parts that an accident can reach."""

    server: EmbeddedRedis
    replica: EmbeddedRedis | None
    proxy: Proxy
    producer: Producer
    workers: list[BaseProcess]

    @property
    def redis(self) -> Redis:
        """A connection to where the workers' address leads."""
        return Redis.from_url(self.proxy.url, protocol=2)

    def load(self, seconds: float) -> None:
        """Let as many readings come as are due in a time."""
        enough = self.producer.pushed + round(seconds * RATE)
        until(lambda: self.producer.pushed >= enough)


@dataclass(frozen=True, slots=True)
class Accident:
    """An accident, and the loss that it may cause.

    Attributes:
        happens: the accident itself.
        loses: whether readings that had been acknowledged may stay without a readable forecast.
        counted: whether the dispositions and `lost` still sum to the entries ever added to the stream that is there.
        options: of the server.
        replica: whether the server has one; `confirmed`: whether the producer waits for it.
        standby: whether a second worker stands by, to take the partition where the lease is concerned.
    """

    happens: Callable[[Scene], None]
    loses: bool = False
    counted: bool = True
    options: tuple[str, ...] = DURABLE
    replica: bool = False
    confirmed: bool = False
    standby: bool = False


def flush_all(scene: Scene) -> None:
    """Everything in Redis is deleted."""
    scene.redis.flushall()


def delete(key: str) -> Callable[[Scene], None]:
    """Delete one key, as soon as it holds data to lose."""

    def happens(scene: Scene) -> None:
        until(lambda: scene.redis.exists(key))
        scene.redis.delete(key)

    return happens


def delete_unread(scene: Scene) -> None:
    """Delete the stream before the workers, which sleep, have read it."""
    with _asleep(scene):
        scene.redis.delete("readings")


def trim_unread(scene: Scene) -> None:
    """Trim the stream before the workers, which sleep, have read it."""
    with _asleep(scene):
        scene.redis.xtrim("readings", maxlen=TRIMMED_TO, approximate=False)


@contextmanager
def _asleep(scene: Scene) -> Iterator[None]:
    for worker in scene.workers:
        send(worker, signal.SIGSTOP)
    scene.load(LOAD_S)
    yield
    for worker in scene.workers:
        send(worker, signal.SIGCONT)


def fail_power(scene: Scene) -> None:
    """Redis dies, and its last writes are not on the disk: the file ends earlier, within a command."""
    file = _append_only_file(scene.redis)
    synced = file.stat().st_size
    scene.load(UNSYNCED_S)
    scene.server.kill()
    with file.open("r+b") as opened:
        opened.truncate(min(synced + 11, file.stat().st_size))
    scene.server.start()


def promote_replica(scene: Scene) -> None:
    """The replica is cut off, its master dies, the address leads to it, and at last it may be written to."""
    if scene.replica is None:
        raise RuntimeError("there is no replica to promote")
    with Redis.from_url(scene.replica.url, protocol=2) as replica:
        replica.replicaof("127.0.0.1", free_port())  # no server is there: it keeps its data, and gets no more
        time.sleep(STRETCH_S)
        scene.server.kill()
        scene.proxy.switch(scene.replica.port)
        time.sleep(STRETCH_S)  # READONLY
        replica.replicaof("NO", "ONE")
    scene.producer.replicas = 0  # the new master has none


ACCIDENTS = {
    "FLUSHALL": Accident(flush_all, loses=True, standby=True),
    "DEL readings": Accident(delete_unread, loses=True, counted=False),
    "DEL forecasts": Accident(delete("forecasts"), loses=True),
    "DEL dead": Accident(delete("dead"), loses=True),
    "DEL state": Accident(delete("state")),
    "DEL offset": Accident(delete("offset"), counted=False, standby=True),
    "DEL lease": Accident(delete("lease"), standby=True),
    "XTRIM of unread readings": Accident(trim_unread, loses=True),
    "power cut, appendfsync everysec": Accident(fail_power, loses=True, options=EVERYSEC),
    "promotion of a replica": Accident(promote_replica, loses=True, options=REPLICATED, replica=True),
    "promotion, readings confirmed": Accident(
        promote_replica, options=REPLICATED, replica=True, confirmed=True, standby=True
    ),
}


def run_accident(folder: Path, name: str, server: str | None = None) -> Verdict:
    """Let an accident happen to a running Tidecast, and judge what its consumers see.

    Args:
        folder: an empty one.
        name: of `ACCIDENTS`.
        server: the redis-server program; by default what is found.
    """
    accident = ACCIDENTS[name]
    entries = make_steady(LONGEST_S * RATE)
    with _scene(folder, accident, entries, server) as scene, Follower(scene.proxy.url) as follower:
        scene.producer.start()
        scene.load(LOAD_S)
        accident.happens(scene)
        after = scene.producer.begun  # all from here on is pushed after the accident
        scene.load(LOAD_S)
        scene.producer.stop()
        _await_answers(scene)
        follower.catch_up(scene.redis)
        verdict = Verdict(scene.producer.pushed, restarted=sum(not worker.is_alive() for worker in scene.workers))
        judge(verdict, entries, after, follower.met, published(scene.redis), loses=accident.loses)
        if accident.counted:
            check_counts(verdict, scene.redis)
    return verdict


@contextmanager
def _scene(
    folder: Path, accident: Accident, entries: Sequence[dict[bytes, bytes]], server: str | None
) -> Iterator[Scene]:
    make_store(folder, SETTINGS)
    with ExitStack() as stack:
        master = stack.enter_context(EmbeddedRedis(server, accident.options))
        replica = None
        if accident.replica:
            replica = stack.enter_context(EmbeddedRedis(server, REPLICATED))
            with Redis.from_url(replica.url, protocol=2) as redis:
                redis.replicaof("127.0.0.1", master.port)
            until(lambda: _in_step(master))
        proxy = stack.enter_context(Proxy(master.port))
        logs = [folder / f"worker-{i}.log" for i in range(1 + accident.standby)]
        workers = [start_mortal(folder, proxy.url, log) for log in logs]
        for worker in workers:
            stack.callback(_end, worker)
        producer = Producer(proxy.url, entries, RATE, replicas=int(accident.confirmed))
        scene = Scene(master, replica, proxy, producer, workers)
        until(lambda: scene.redis.exists("lease"))
        yield scene


def _in_step(master: EmbeddedRedis) -> bool:
    with Redis.from_url(master.url, protocol=2) as redis:
        replication: Any = redis.info("replication")
    return bool(replication["connected_slaves"] == 1 and replication["slave0"]["state"] == "online")


def _end(worker: BaseProcess) -> None:
    worker.kill()
    worker.join()


def _append_only_file(redis: Redis) -> Path:
    """Return the file that Redis appends to: one of several in a directory from Redis 7 on."""
    folder = Path(str(redis.config_get("dir")["dir"]))
    files = [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof")]
    return max(files, key=lambda file: file.stat().st_mtime)


def _await_answers(scene: Scene) -> None:
    """Wait until the offset is at the last reading; if it never gets there, the verdict names the missing ones."""
    deadline = time.monotonic() + PATIENCE_S
    newest = entry_id(scene.producer.pushed - 1).encode()
    while time.monotonic() < deadline:
        try:
            if scene.redis.hget("offset", "last") == newest:
                return
        except RedisError:  # not up again
            pass
        time.sleep(0.02)
