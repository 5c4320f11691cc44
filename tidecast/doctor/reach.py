"""Check that Redis can be reached, which all other checks of Redis need."""

from contextlib import suppress
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.connection import explain, lacks_right
from tidecast.connection.redis_errors import CLUSTER, meaning_of_error, unknown_command
from tidecast.doctor.finding import Finding
from tidecast.settings import Settings
from tidecast.wire import common_keys

TLS_WORDS = ("SSL", "CERTIFICATE", "certificate", "[X509")
CLOSED_WORDS = (
    "Connection closed",
    "Connection reset",
    "Error while reading",
)  # errors of a plain connection to a TLS port
HARMLESS = ("WRONGTYPE", "MASTERDOWN", "Link with MASTER is down", "BUSY")  # later checks explain these


def obstacle(redis: Redis, settings: Settings) -> Finding | None:
    """Return a finding that makes all further checks useless, or None.

    Args:
        redis: the connection to the server in `redis_url`.
        settings: the settings of the installation.

    Raises:
        RedisError: the server does not answer.
    """
    try:
        redis.get(common_keys(settings.namespace)[0])  # a command that Redis refuses while it loads
    except ResponseError as exc:
        refused = _refused(redis, settings, exc)
        if refused:
            return refused
    if not settings.redis_cluster and _in_a_cluster(redis):
        return Finding("cluster", "error", CLUSTER.problem.format("INFO cluster"), CLUSTER.remedy)
    return None


def _refused(redis: Redis, settings: Settings, exc: ResponseError) -> Finding | None:
    """Return a finding for a refused GET; None if later checks explain it."""
    meaning = meaning_of_error(exc)
    if unknown_command(exc):
        return _sentinel(redis)
    if meaning and meaning.check == "cluster" and settings.redis_cluster:
        return None  # the key is on another server
    if meaning or not (lacks_right(exc) or any(words in str(exc) for words in HARMLESS)):
        return unreached(exc, settings.redis_url.get_secret_value())
    return None


def _sentinel(redis: Redis) -> Finding | None:
    """Return a finding with the address of the watched Redis if the server is a Sentinel; else None."""
    with suppress(RedisError):
        server = redis.info("server")
        if server.get("redis_mode", server.get("server_mode")) != "sentinel":  # the second is Valkey's name
            return None  # missing commands are checked later
        problem = "redis_url names a Sentinel, which holds no data"
        place = redis.connection_pool.connection_kwargs
        addresses = " or ".join(
            f"redis+sentinel://{place['host']}:{place['port']}/{name}" for name in cast("Any", redis.sentinel_masters())
        )
        remedy = f"name the master that it watches too: {addresses or 'it watches none yet'}"
        return Finding("sentinel", "error", problem, remedy)
    return None


def _in_a_cluster(redis: Redis) -> bool:
    """Return whether a server reports that it is part of a cluster."""
    with suppress(RedisError):
        return bool(redis.info("cluster").get("cluster_enabled"))
    return False


def unreached(exc: RedisError, url: str) -> Finding:
    """Return a finding for the failure of the first command."""
    text = str(exc)
    silent = isinstance(exc, RedisTimeoutError) and url.startswith("rediss://")  # Redis waits for the rest of a command
    if silent or any(word in text for word in TLS_WORDS):
        return Finding("tls", "error", f"no TLS with Redis: {text}", _tls_remedy(text))
    if meaning := meaning_of_error(exc):
        return Finding(meaning.check, "error", meaning.problem, meaning.remedy)
    if any(word in text for word in CLOSED_WORDS) and not url.startswith("rediss://"):
        remedy = "if it uses TLS on this port, begin redis_url with rediss://; else check its log"
        return Finding("tls", "error", f"Redis ends the connection: {text}", remedy)
    if isinstance(exc, ResponseError):
        return Finding("redis", "error", f"Redis refuses a plain GET: {text}", "check its log and configuration")
    problem = explain(exc)
    return Finding("redis", "error", f"Redis does not answer: {problem}", "start it, or name another in redis_url")


def _tls_remedy(text: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in text or "[X509" in text:
        return "name the authority that signed Redis' certificate in redis_ca, and the host in redis_url as it does"
    return (
        "if Redis does not use TLS on this port, begin redis_url with redis://; if it requires a certificate, name one"
    )
