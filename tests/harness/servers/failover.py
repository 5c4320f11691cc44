"""A master and its replica behind one address, which exchange their roles."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from tests.chaos.faults.proxy import Proxy
from tests.harness.patience import until
from tidecast.connection.embedded import EmbeddedRedis


class Failover:
    """A master and its replica behind one address.

    Attributes:
        url: the address.
        old: a client of the first master.
        new: a client of its replica, the next master.
    """

    def __init__(self, proxy: Proxy, old: EmbeddedRedis, new: EmbeddedRedis) -> None:
        self.url = proxy.url
        self.old = Redis.from_url(old.url, protocol=2)
        self.new = Redis.from_url(new.url, protocol=2)
        self._proxy = proxy
        self._ports = old.port, new.port
        self.new.replicaof("127.0.0.1", old.port)  # type: ignore[no-untyped-call] # of redis

    def take_place(self) -> None:
        """Exchange the roles once the replica has all data; open connections stay."""
        self.old.set("last", 1)
        until(lambda: self.new.get("last"))
        self.new.replicaof("NO", "ONE")  # type: ignore[no-untyped-call] # of redis
        self.old.replicaof("127.0.0.1", self._ports[1])  # type: ignore[no-untyped-call] # of redis
        self._proxy.lead(self._ports[1])


@contextmanager
def two_servers(program: str) -> Iterator[Failover]:
    """Start two servers that exchange their roles on demand."""
    with (
        EmbeddedRedis(program) as old,
        EmbeddedRedis(program) as new,
        Proxy(old.port) as proxy,
    ):
        pair = Failover(proxy, old, new)
        yield pair
        pair.old.close()
        pair.new.close()
