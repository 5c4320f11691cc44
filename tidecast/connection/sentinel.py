"""Connect to the master that Redis Sentinels name.

The address is `redis+sentinel://user:password@host:port,host:port/name/db`, with `rediss+sentinel://` for TLS to the
master. Each new connection asks the Sentinels for the master, so a connection that breaks in a failover leads to the
new one.
"""

import re
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from tidecast.errors import SettingsError

SCHEMES = ("redis+sentinel://", "rediss+sentinel://")
PORT = 26379
FORM = "write it as redis+sentinel://:password@host:port,host:port/name/db"
OPTIONS = ("sentinel_username", "sentinel_password")  # to the Sentinels themselves
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_DATABASE = re.compile(r"[0-9]{0,9}")


class _Master(redis.Redis):
    """A client of the master; it also closes the connections to the Sentinels."""

    def close(self) -> None:
        super().close()
        for sentinel in cast("Any", self.connection_pool).sentinel_manager.sentinels:
            sentinel.close()


class _AsyncMaster(redis.asyncio.Redis):
    """The same for asyncio."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for sentinel in cast("Any", self.connection_pool).sentinel_manager.sentinels:
            await sentinel.aclose()


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The Sentinels and the master that they watch.

    Attributes:
        sentinels: host and port of each.
        name: of the master.
        db: the number of the database.
        user, password: to the master; empty without.
        sentinel_user, sentinel_password: to the Sentinels; empty without.
        tls: whether the master is spoken to over TLS.
    """

    sentinels: tuple[tuple[str, int], ...]
    name: str
    db: int
    user: str
    password: str
    sentinel_user: str
    sentinel_password: str
    tls: bool

    def connect(self, options: dict[str, Any], retry: Any) -> redis.Redis:
        """Return a client of the master; the Sentinels are asked at its first command.

        Args:
            options: of each connection.
            retry: of a single command.
        """
        sentinel = redis.sentinel.Sentinel(list(self.sentinels), sentinel_kwargs=self._to_sentinels(options))
        named = self._to_master(options)
        return cast("redis.Redis", sentinel.master_for(self.name, redis_class=_Master, **named, retry=retry))

    def connect_async(self, options: dict[str, Any], retry: Any) -> redis.asyncio.Redis:
        """Return a client of the master for asyncio."""
        sentinel = redis.asyncio.sentinel.Sentinel(list(self.sentinels), sentinel_kwargs=self._to_sentinels(options))
        named = self._to_master(options)
        master = sentinel.master_for(self.name, redis_class=_AsyncMaster, **named, retry=retry)
        return cast("redis.asyncio.Redis", master)

    def _to_sentinels(self, options: dict[str, Any]) -> dict[str, Any]:
        named = {"username": self.sentinel_user, "password": self.sentinel_password}
        kept = {name: value for name, value in options.items() if not name.startswith("ssl")}
        return kept | {name: value for name, value in named.items() if value}

    def _to_master(self, options: dict[str, Any]) -> dict[str, Any]:
        named = {"username": self.user, "password": self.password}
        return options | {"db": self.db, "ssl": self.tls} | {name: value for name, value in named.items() if value}


def sentinel_address(url: str) -> SentinelAddress | None:
    """Read an address of Sentinels; None: the address is of another kind.

    The error shows no part of the address, since any part may be the password.

    Raises:
        SettingsError: the address has not the form above.
    """
    if not url.startswith(SCHEMES):
        return None
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    name, _, db = parts.path.removeprefix("/").partition("/")
    if parts.fragment or "@" in parts.path + parts.query:
        raise SettingsError("setting redis_url has a / ? or # before an @: write them in a password as %2F, %3F, %23")
    if not name or not _DATABASE.fullmatch(db):
        raise SettingsError(f"setting redis_url names no master that the Sentinels watch: {FORM}")
    options = _options(parts.query)
    return SentinelAddress(
        tuple(map(_host, hosts.split(","))),
        unquote(name),
        int(db or 0),
        unquote(user),
        unquote(password),
        options.get("sentinel_username", ""),
        options.get("sentinel_password", ""),
        parts.scheme.startswith("rediss"),
    )


def _host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match[2] or PORT) if match else 0
    if match is None or not 0 < port < 2**16:
        raise SettingsError(f"setting redis_url has a Sentinel without a host or a port: {FORM}")
    return match[1].strip("[]"), port


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query))
    if unknown := options.keys() - set(OPTIONS):
        shown = ", ".join(sorted(name for name in unknown if re.fullmatch(r"[a-z_]{1,40}", name))) or "that"
        raise SettingsError(f"setting redis_url has an unknown option, {shown}: use {' and '.join(OPTIONS)}")
    return options
