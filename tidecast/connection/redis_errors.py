"""Explain errors of Redis to an operator: the problem in words, and the remedy."""

import re
from dataclasses import dataclass, replace

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    InvalidResponse,
    MovedError,
    RedisError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

_UNKNOWN_COMMAND = re.compile(r"unknown command [`']([^`']+)[`']", re.IGNORECASE)
_TLS_ALERT = "\\x15"  # the first byte of a TLS port's reply to plain text
_NO_DATABASE = ("DB index is out of range", "invalid DB index", "SELECT is not allowed")
_UNKNOWN_HOST = ("Name or service not known", "nodename nor servname", "name resolution", "No address associated")


@dataclass(frozen=True, slots=True)
class Meaning:
    """The explanation of an error: the problem and the remedy.

    Attributes:
        check: the name of the problem in `tidecast doctor`.
        problem: a sentence without its full stop; {} stands for the text of the error.
        remedy: what to do.
    """

    check: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


CLUSTER = Meaning(
    "cluster",
    "redis_url names a server of a Redis Cluster ({})",
    "set redis_cluster = true, and partitions to 2 or more",
)
SENTINEL = Meaning(
    "sentinel",
    "the server that redis_url names does not know {}, so it holds no data: it may be a Sentinel",
    "name it as redis+sentinel://host:port/name, or enable the command",
)
COMMANDS = Meaning(
    "commands",
    "the server that redis_url names does not know {}, which a worker needs",
    "enable it (rename-command in Redis' configuration), or use a server or service that has it",
)
DATABASE = Meaning(
    "database",
    "redis_url names a database that Redis does not have ({})",
    "end it with a lower number, such as /0, or raise `databases` in Redis' configuration",
)
LOADING = Meaning("loading", "Redis is still loading its data", "wait; INFO persistence shows the progress")

# By class and by a part of the text; the first matching row is used.
_ROWS: tuple[tuple[type[RedisError], str, Meaning], ...] = (
    (MovedError, "", CLUSTER),
    (AskError, "", CLUSTER),
    (ClusterCrossSlotError, "", CLUSTER),
    (BusyLoadingError, "", LOADING),
    (
        ClusterDownError,
        "",
        Meaning(
            "cluster",
            "redis_url names a server of a Redis Cluster that does not serve all slots ({})",
            "check CLUSTER INFO, and assign the slots or bring their servers back",
        ),
    ),
    (
        AuthenticationError,
        "without any password configured",
        Meaning(
            "password",
            "redis_url holds a password, but this Redis has none",
            "leave the password out of redis_url, or set one in Redis (requirepass)",
        ),
    ),
    (
        AuthenticationError,
        "Authentication required",
        Meaning(
            "password",
            "Redis wants a password, and redis_url holds none",
            "write it as redis://:password@host:port/db",
        ),
    ),
    (
        AuthenticationError,
        "",
        Meaning(
            "password",
            "Redis refuses the user or password that redis_url names: {}",
            "correct the user and the password in redis_url",
        ),
    ),
    *((RedisError, words, DATABASE) for words in _NO_DATABASE),
    (
        RedisError,
        "Too many open files",
        Meaning(
            "open_files",
            "this program has as many open files and connections as it may ({})",
            "raise the limit: `ulimit -n`, or LimitNOFILE in a systemd unit",
        ),
    ),
    (
        RedisError,
        "protected mode",
        Meaning(
            "protected",
            "Redis is in protected mode and refuses clients of other machines",
            "set a password in Redis and in redis_url, or run this on Redis' machine",
        ),
    ),
    (
        RedisError,
        "max number of clients reached",
        Meaning(
            "clients",
            "Redis accepts no further client",
            "raise maxclients, or close connections of other programs (CLIENT LIST shows them)",
        ),
    ),
    (
        RedisError,
        "Unknown Redis command",
        replace(COMMANDS, problem="a script calls a command that Redis does not know ({})"),
    ),
    (
        InvalidResponse,
        _TLS_ALERT,
        Meaning("tls", "the server at redis_url uses TLS", "begin redis_url with rediss://"),
    ),
    (
        InvalidResponse,
        "",
        Meaning(
            "protocol",
            "the server at redis_url is not Redis ({})",
            "name Redis' host and port in redis_url; its usual port is 6379",
        ),
    ),
    (
        RedisError,
        "Connection refused",
        Meaning(
            "redis",
            "no program listens at the host and port that redis_url names ({})",
            "start Redis there, or correct redis_url",
        ),
    ),
    (
        RedisTimeoutError,
        "Timeout connecting",
        Meaning(
            "host",
            "no server answers at the host and port that redis_url names ({})",
            "correct them, or open the firewall",
        ),
    ),
    (
        RedisTimeoutError,
        "",
        Meaning(
            "no_answer",
            "Redis does not answer in time ({})",
            "check whether it is busy, or another program or TLS (rediss://) uses that port; or raise redis_timeout",
        ),
    ),
    *(
        (RedisError, words, Meaning("host", "the host that redis_url names is not known ({})", "correct it"))
        for words in _UNKNOWN_HOST
    ),
)


def meaning_of_error(exc: RedisError) -> Meaning | None:
    """Return the explanation of an error; None for an unknown error."""
    text = str(exc)
    if command := unknown_command(exc):
        known = SENTINEL if command in ("GET", "SET") else COMMANDS
        return replace(known, problem=known.problem.format(command))
    for kind, words, meaning in _ROWS:
        if isinstance(exc, kind) and words in text:
            return replace(meaning, problem=meaning.problem.format(text))
    return None


def unknown_command(exc: RedisError) -> str | None:
    """Return the command that the server does not know; None for other errors."""
    match = _UNKNOWN_COMMAND.search(str(exc))
    return match[1].upper() if match else None
