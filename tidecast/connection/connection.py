"""Connect to Redis: one server, the master of Sentinels or a cluster, plain or over TLS. No command is repeated."""

from functools import cache
from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import NoPermissionError, RedisError
from redis.retry import Retry

from tidecast.connection.address import FORM, usable_url
from tidecast.connection.cluster import AsyncCluster, Cluster
from tidecast.connection.redis_errors import meaning_of_error
from tidecast.connection.refusals import refusal
from tidecast.connection.sentinel import sentinel_address
from tidecast.errors import SettingsError
from tidecast.settings import Settings

RIGHTS = "docs/operations.md, Users and rights"
_REFUSED_IN_A_SCRIPT = ("user executing the script can't", "ACL failure in script")  # up to 7.0, and after


def connect(settings: Settings) -> redis.Redis:
    """Open a connection pool; commands are never repeated without the caller's knowledge.

    A single server is not contacted before the first command; the servers of a cluster are looked up at once. A
    `Cluster` has the same commands as a `redis.Redis`.

    Raises:
        SettingsError: the URL is not valid for Redis, or a setting does not work with a cluster.
        ConnectionError: no server of the cluster answers.
    """
    url = check_address(settings)
    if sentinels := sentinel_address(url):
        return sentinels.connect(_options(settings), Retry(NoBackoff(), 0))
    if settings.redis_cluster:
        return cast("redis.Redis", Cluster(url=url, **_options(settings), retry=Retry(NoBackoff(), 0)))
    return redis.Redis.from_url(url, **_options(settings), retry=Retry(NoBackoff(), 0))


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """Open a connection pool for asyncio; Redis is not contacted before the first command.

    Raises:
        SettingsError: the URL is not valid for Redis, or a setting does not work with a cluster.
    """
    url = check_address(settings)
    if sentinels := sentinel_address(url):
        return sentinels.connect_async(_options(settings), AsyncRetry(NoBackoff(), 0))
    kind: Any = AsyncCluster if settings.redis_cluster else redis.asyncio.Redis
    opened = kind.from_url(url, **_options(settings), retry=AsyncRetry(NoBackoff(), 0))
    return cast("redis.asyncio.Redis", opened)


def check_address(settings: Settings) -> str:
    """Check that the settings for Redis fit together, without contacting it; return the address for redis-py.

    Raises:
        SettingsError: the settings do not fit together.
    """
    url = settings.redis_url.get_secret_value()
    if sentinel_address(url):
        if settings.redis_cluster:
            raise SettingsError("setting redis_cluster is true, but Sentinels watch a single master: leave it false")
        _check_authority(settings)
        return url
    url = usable_url(url)
    try:
        named = parse_url(url)
        # This connection is never opened: an option that redis-py refuses is detected now, not at the first command.
        named.pop("max_connections", None)  # an option of the pool
        kind = named.pop("connection_class", redis.Connection)
        kind(**named)
    except (ValueError, TypeError):
        raise SettingsError(f"setting redis_url is not an address: {FORM}") from None
    _check_authority(settings)
    if settings.redis_cluster:
        _check_cluster(settings, named)
    return url


def _check_authority(settings: Settings) -> None:
    """Check `redis_ca`.

    Raises:
        SettingsError: it is not a file, or the address asks for no TLS.
    """
    if settings.redis_ca and not settings.redis_ca.is_file():
        raise SettingsError(f"setting redis_ca is {settings.redis_ca}, which is not a file: name the authority's")
    if settings.redis_ca and not _has_tls(settings):
        raise SettingsError(
            f"setting redis_ca is {settings.redis_ca}, but redis_url does not ask for TLS: begin it with rediss://"
        )


def _has_tls(settings: Settings) -> bool:
    return settings.redis_url.get_secret_value().startswith(("rediss://", "rediss+sentinel://"))


def explain(exc: RedisError, remedy: str = "") -> str:
    """Return an error of Redis as a sentence with its remedy; `remedy` is used for unknown errors."""
    text = str(exc)
    if lacks_right(exc):
        return f"the user that redis_url names lacks a right: {text}: grant it, see {RIGHTS}"
    if "CERTIFICATE_VERIFY_FAILED" in text or "[X509" in text:  # the latter: redis_ca holds no certificate
        return (
            f"Redis' certificate is not accepted: {text}: name the authority that signed it in redis_ca, "
            "and the host in redis_url as the certificate does"
        )
    if meaning := meaning_of_error(exc):
        return str(meaning)
    if reason := refusal(exc):
        return reason
    return f"{type(exc).__name__}: {text.removesuffix('.')}: {remedy}" if remedy else f"{type(exc).__name__}: {text}"


def lacks_right(exc: RedisError) -> bool:
    """Return whether Redis refused a command, directly or in a script, because the user lacks the right."""
    return isinstance(exc, NoPermissionError) or any(words in str(exc) for words in _REFUSED_IN_A_SCRIPT)


def _check_cluster(settings: Settings, named: dict[str, Any]) -> None:
    if settings.partitions == 1 and not settings.former_partitions:  # later generations have a tag
        raise SettingsError(
            "setting partitions is 1, but in a Redis Cluster only the keys of one of several partitions are sure to "
            "be on one server: set partitions to 2 or more, above the number of workers you will ever run"
        )
    if named.get("db") or "path" in named:
        raise SettingsError(
            "setting redis_url names a database or a socket, and a Redis Cluster has only database 0 over TCP: "
            "write it as redis://:password@host:port"
        )


def _options(settings: Settings) -> dict[str, Any]:
    timeout = settings.redis_timeout
    # RESP2 gives stream replies the same shape on every server version.
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": timeout, "socket_connect_timeout": timeout}
    if "lib_" not in settings.redis_url.get_secret_value().rpartition("?")[2]:  # the address may name a library
        options |= _driver()
    if _has_tls(settings):
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        if settings.redis_ca:
            options["ssl_ca_certs"] = str(settings.redis_ca)
    return options


@cache
def _driver() -> dict[str, Any]:
    """Return the library's name and version for all connections: newer versions look them up for each, in 2 ms."""
    try:
        from redis.driver_info import DriverInfo
    except ImportError:
        return {}
    return {"driver_info": DriverInfo()}
