"""A real Redis Cluster of a few masters on loopback, and slots that move between them while it serves."""

import time
from contextlib import ExitStack
from typing import Any, Self

from redis.connection import Connection
from redis.crc import key_slot

from tests.harness.patience import until
from tests.harness.servers.ports import free_port
from tests.harness.servers.ticks import TICKS
from tidecast.connection.embedded import EmbeddedRedis

SLOTS = 16384
OPTIONS = (
    *TICKS,
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
    *("--cluster-allow-replica-migration", "no"),  # a server whose last slot moves away stays a master
)


class EmbeddedCluster:
    """Redis servers that form a cluster, without replicas; they end with the `with` block.

    Args:
        server: the program; by default what `find_server` finds.
        masters: how many share the slots.
        empty: how many more there are that hold none.
    """

    def __init__(self, server: str | None = None, masters: int = 3, empty: int = 0) -> None:
        self.servers = [EmbeddedRedis(server, OPTIONS) for _ in range(masters + empty)]
        for each in self.servers:
            each.port = free_port()
        self._masters = masters
        self._stack = ExitStack()
        self._ids: list[str] = []

    @property
    def url(self) -> str:
        """One of the servers."""
        return self.servers[0].url

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def flushall(self) -> None:
        """Empty every server."""
        self.execute("FLUSHALL")

    def execute(self, *command: str) -> None:
        """Run a command on every server."""
        for server in self.servers:
            _ask(server, *command)

    def owner_of(self, key: str) -> int:
        """Return the number of the server that serves a key's slot."""
        slot = key_slot(key.encode())
        for number, server in enumerate(self.servers):
            if slot in _slots_of(server):
                return number
        raise RuntimeError(f"nobody serves slot {slot}")

    def move(self, key: str, target: int, pause_s: float = 0.0) -> None:
        """Move a key's slot, and all keys in it, to another server, as an operator's tool would.

        Args:
            key: any key of the slot.
            target: the server's number.
            pause_s: between two of the steps, so that others meet every state on the way.
        """
        slot = key_slot(key.encode())
        source = self.owner_of(key)
        if source == target:
            return
        giving = self.servers[source]
        taking = self.servers[target]
        _ask(taking, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._ids[source])
        _ask(giving, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._ids[target])
        time.sleep(pause_s)
        while keys := _ask(giving, "CLUSTER", "GETKEYSINSLOT", slot, 1):
            _ask(giving, "MIGRATE", "127.0.0.1", taking.port, "", 0, 5000, "KEYS", *keys)
            time.sleep(pause_s)
        for server in (taking, giving, *self.servers):
            _ask(server, "CLUSTER", "SETSLOT", slot, "NODE", self._ids[target])

    def _join(self) -> None:
        for epoch, server in enumerate(self.servers, 1):
            _ask(server, "CLUSTER", "SET-CONFIG-EPOCH", epoch)
        self._ids = [_ask(server, "CLUSTER", "MYID").decode() for server in self.servers]
        for number, server in enumerate(self.servers[: self._masters]):
            first, end = (SLOTS * i // self._masters for i in (number, number + 1))
            _ask(server, "CLUSTER", "ADDSLOTS", *range(first, end))
        for server in self.servers[1:]:
            _ask(self.servers[0], "CLUSTER", "MEET", "127.0.0.1", server.port)
        until(lambda: all(self._sees_all(server) for server in self.servers))

    def _sees_all(self, server: EmbeddedRedis) -> bool:
        info = _ask(server, "CLUSTER", "INFO").decode()
        if "cluster_state:ok" not in info or f"cluster_known_nodes:{len(self.servers)}\r" not in info:
            return False
        nodes = _ask(server, "CLUSTER", "NODES").decode()
        return "handshake" not in nodes and len(_ask(server, "CLUSTER", "SLOTS")) == self._masters


def _slots_of(server: EmbeddedRedis) -> set[int]:
    """Return the slots that a server holds."""
    mine = next(line for line in _ask(server, "CLUSTER", "NODES").decode().splitlines() if "myself" in line)
    slots: set[int] = set()
    for part in mine.split()[8:]:
        if part.startswith("["):  # on its way
            continue
        first, _, last = part.partition("-")
        slots |= set(range(int(first), int(last or first) + 1))
    return slots


def _ask(server: EmbeddedRedis, *command: Any) -> Any:
    """Send a command to one server and return the answer as it is, in bytes."""
    connection = Connection(port=server.port, protocol=2)
    try:
        connection.send_command(*command)
        return connection.read_response()
    finally:
        connection.disconnect()
