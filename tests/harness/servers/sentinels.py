"""A master with a replica, and a real Sentinel that watches them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.harness.patience import PATIENCE_S, until
from tidecast.connection import connect
from tidecast.connection.embedded import EmbeddedRedis, free_port
from tidecast.settings import load_settings

NAME = "main"
REPLICATED = ("--repl-diskless-sync-delay", "0", "--appendonly", "yes")
DOWN_MS = 500  # how long a silent master is believed to be there


@dataclass(frozen=True)
class WatchedPair:
    """Two servers, one of them the master, and the Sentinel.

    Attributes:
        servers: both.
        sentinel_port: where the Sentinel listens.
    """

    servers: tuple[EmbeddedRedis, EmbeddedRedis]
    sentinel_port: int

    @property
    def url(self) -> str:
        """Return the address for the settings."""
        return f"redis+sentinel://127.0.0.1:{self.sentinel_port}/{NAME}/0"

    @property
    def master(self) -> EmbeddedRedis:
        """Return the server that the Sentinel names."""
        with Redis(port=self.sentinel_port, protocol=2) as sentinel:
            port = int(sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return next(server for server in self.servers if server.port == port)

    def await_replica(self) -> None:
        """Wait until the replica has all writes so far: those that it lacks are lost when the master dies."""
        with Redis(port=self.master.port, protocol=2, single_connection_client=True) as redis:
            redis.ping()  # WAIT is about the data at the connection's last command
            assert 1 == redis.wait(1, round(1000 * PATIENCE_S))

    def fail_over(self) -> EmbeddedRedis:
        """Kill the master, and wait until the other server is named; return the killed one."""
        dead = self.master
        dead.kill()
        until(lambda: self.master is not dead and self._role(self.master) == b"master" and self._is_reached())
        return dead

    def rejoin(self, server: EmbeddedRedis) -> None:
        """Start a killed server again, and wait until it follows the present master.

        Sentinel would tell it to follow, but sometimes only after minutes.
        """
        server.start()
        with Redis(port=server.port, protocol=2) as redis:
            redis.replicaof("127.0.0.1", self.master.port)
        until(lambda: self._role(server) == b"slave" and _in_step(self.master))

    def _is_reached(self) -> bool:
        """Return whether a client gets an answer: shortly after a failover Sentinel names no master."""
        try:
            with connect(load_settings(redis_url=self.url)) as redis:
                return bool(redis.ping())
        except RedisError:
            return False

    @staticmethod
    def _role(server: EmbeddedRedis) -> bytes:
        try:
            with Redis(port=server.port, protocol=2) as redis:
                role: Any = redis.execute_command("ROLE")
        except RedisError:
            return b""
        return bytes(role[0])


@contextmanager
def watched_pair(program: str, folder: Path) -> Iterator[WatchedPair]:
    """Start a master, its replica and a Sentinel; the configuration lies in a folder."""
    port = free_port()
    file = folder / "sentinel.conf"
    with ExitStack() as stack:
        servers = [stack.enter_context(EmbeddedRedis(program, REPLICATED)) for _ in range(2)]
        with Redis(port=servers[1].port, protocol=2) as replica:
            replica.replicaof("127.0.0.1", servers[0].port)
        until(lambda: _in_step(servers[0]))  # a Sentinel looks for replicas at once, and then every ten seconds
        lines = (
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {servers[0].port} 1",
            f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
            f"sentinel failover-timeout {NAME} 2000",
        )
        file.write_text("\n".join(lines))
        process = stack.enter_context(subprocess.Popen([program, str(file), "--sentinel"], stdout=subprocess.DEVNULL))
        stack.callback(process.kill)
        until(lambda: _knows_the_replica(port))
        yield WatchedPair((servers[0], servers[1]), port)


def _in_step(master: EmbeddedRedis) -> bool:
    """Return whether a replica follows this server."""
    with Redis(port=master.port, protocol=2) as redis:
        replication: Any = redis.info("replication")
    return bool(replication["connected_slaves"] == 1 and replication["slave0"]["state"] == "online")


def _knows_the_replica(port: int) -> bool:
    try:
        with Redis(port=port, protocol=2) as sentinel:
            return len(sentinel.sentinel_slaves(NAME)) == 1
    except RedisError:  # not up yet
        return False
