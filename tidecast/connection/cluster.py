"""Clients for Redis Cluster, where the partitions lie in several slots on several servers.

redis-py finds the servers and follows a slot that moves: a command with the reply MOVED, ASK or TRYAGAIN was not
executed, so it is sent again. Other commands are not repeated, because a command whose reply was lost may have been
executed.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis.asyncio.cluster
import redis.cluster
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterError,
    MovedError,
    NoPermissionError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tidecast.errors import SettingsError

Entry = tuple[str, Mapping[bytes, bytes]]  # key, fields
StreamReply = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]
IDLE_S = (0.002, 0.05)  # the first and the longest pause between two reads of streams without new entries
_Command = tuple[str, Callable[[Any], Any]]  # the key, and a function that runs the command on a client or a pipeline
_NOT_EXECUTED = (MovedError, AskError, TryAgainError)  # the command must be sent again, perhaps to another server


class Cluster(redis.cluster.RedisCluster):
    """A client of a Redis Cluster; temporary failures of the cluster are connection errors, as with one server."""

    def __init__(self, **options: Any) -> None:
        with _as_connection_errors():
            super().__init__(**options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the server of its keys.

        Raises:
            ConnectionError: the servers cannot be reached, or a moving slot was not served in time.
        """
        with _as_connection_errors():
            return super().execute_command(*args, **options)

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> redis.cluster.ClusterNode | None:
        """Return a server by name, even one without slots yet: the first slot may be moving there."""
        node = super().get_node(host, port, node_name)
        if node is None and node_name:
            node = redis.cluster.ClusterNode(*_address(node_name), redis.cluster.PRIMARY)
            self.nodes_manager.nodes_cache[node_name] = node
        return cast("redis.cluster.ClusterNode | None", node)

    def determine_slot(self, *args: Any) -> int | None:
        """Return the slot of a command's keys; for XREAD, redis-py itself would first query a server."""
        if args[0] == "XREAD":
            return cast("int", self.keyslot(args[args.index(b"STREAMS") + 1]))
        return super().determine_slot(*args)

    def add_many(self, entries: Sequence[Entry]) -> list[bytes]:
        """Append entries to their streams, in one round trip for each server; return their ids."""
        return self._each([(key, _adding(key, fields)) for key, fields in entries])

    def read_each(self, position: Mapping[str, str], count: int, block_ms: int) -> StreamReply:
        """Read streams of several slots, which a single XREAD cannot; wait up to `block_ms` for the first entries."""
        deadline = time.monotonic() + block_ms / 1000
        pause_s = IDLE_S[0]
        while True:
            reply = _joined(self._each([(key, _reading(key, last, count)) for key, last in position.items()]))
            left_s = deadline - time.monotonic()
            if reply or left_s <= 0:
                return reply
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, IDLE_S[1])

    def _each(self, commands: Sequence[_Command]) -> list[Any]:
        """Run commands with one key each, in one round trip for each server; return their replies.

        redis-py's own pipeline is not used: it would repeat commands that may have been executed.
        """
        answers: list[Any] = [None] * len(commands)
        with _as_connection_errors():
            for node, numbers in self._by_node(commands):
                for i, answer in zip(numbers, self._send(node, [commands[i] for i in numbers]), strict=True):
                    answers[i] = answer
        for i, (_, run) in enumerate(commands):
            if isinstance(answers[i], _NOT_EXECUTED):
                answers[i] = run(self)
        return _checked(answers)

    def _by_node(self, commands: Sequence[_Command]) -> Iterable[tuple[redis.cluster.ClusterNode, list[int]]]:
        nodes: dict[str, tuple[redis.cluster.ClusterNode, list[int]]] = {}
        for i, (key, _) in enumerate(commands):
            node = self.get_node_from_key(key)
            nodes.setdefault(node.name, (node, []))[1].append(i)
        return nodes.values()

    def _send(self, node: redis.cluster.ClusterNode, commands: Sequence[_Command]) -> list[Any]:
        try:
            with self.get_redis_connection(node).pipeline(transaction=False) as pipeline:
                for _, run in commands:
                    run(pipeline)
                return pipeline.execute(raise_on_error=False)
        except (RedisConnectionError, RedisTimeoutError):
            self.nodes_manager.initialize()  # a replica may serve the slots from now on
            raise


class AsyncCluster(redis.asyncio.cluster.RedisCluster):
    """`Cluster` for asyncio."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the server of its keys; see `Cluster.execute_command`."""
        with _as_connection_errors():
            return await super().execute_command(*args, **options)

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> redis.asyncio.cluster.ClusterNode | None:
        """Return a server by name; see `Cluster.get_node`."""
        node = super().get_node(host, port, node_name)
        if node is None and node_name:
            options = self.nodes_manager.connection_kwargs
            node = redis.asyncio.cluster.ClusterNode(*_address(node_name), redis.cluster.PRIMARY, **options)
            self.nodes_manager.nodes_cache[node_name] = node
        return node

    async def add_many(self, entries: Sequence[Entry]) -> list[bytes]:
        """Append entries to their streams; see `Cluster.add_many`. This client's pipeline repeats no command."""
        pipeline = self.pipeline()
        for key, fields in entries:
            pipeline.xadd(key, cast("Any", fields))
        with _as_connection_errors():
            return _checked(await self._executed(pipeline))

    async def read_each(self, position: Mapping[str, str], count: int, block_ms: int) -> StreamReply:
        """Read streams of several slots; see `Cluster.read_each`."""
        deadline = time.monotonic() + block_ms / 1000
        pause_s = IDLE_S[0]
        while True:
            reply = await self._read_each(position, count)
            left_s = deadline - time.monotonic()
            if reply or left_s <= 0:
                return reply
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, IDLE_S[1])

    async def _read_each(self, position: Mapping[str, str], count: int) -> StreamReply:
        with _as_connection_errors():
            await self.initialize()
            pipeline = self.pipeline()
            for key, last in position.items():
                # The server is given, because redis-py would first query one for the place of the key.
                node = self.get_node_from_key(key)
                pipeline.execute_command("XREAD", "COUNT", count, "STREAMS", key, last, target_nodes=node)
            return _joined(_checked(await self._executed(pipeline)))

    async def _executed(self, pipeline: Any) -> list[Any]:
        answers = cast("list[Any]", await pipeline.execute(raise_on_error=False))
        if any(isinstance(answer, RedisConnectionError | RedisTimeoutError) for answer in answers):
            await self.nodes_manager.initialize()  # a replica may serve the slots from now on
        return answers


@contextmanager
def _as_connection_errors() -> Iterator[None]:
    """Raise connection errors for a cluster that does not answer or moves a slot, so that callers handle both alike."""
    try:
        yield
    except RedisClusterException as exc:
        raise _reason(exc) from exc
    except (ClusterError, TryAgainError) as exc:
        raise RedisConnectionError(f"the Redis Cluster does not serve the slot for now: {exc}") from exc


def _reason(exc: RedisClusterException) -> Exception:
    """Return why redis-py did not find the servers; its own error is the same for every refusal of CLUSTER SLOTS."""
    cause: BaseException | None = exc
    while cause and not isinstance(cause, ResponseError | AuthenticationError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, NoPermissionError | AuthenticationError):
        return cause
    if cause:
        return SettingsError("setting redis_cluster is true, but redis_url names no Redis Cluster: leave it false")
    return RedisConnectionError(str(exc))


def _adding(key: str, fields: Mapping[bytes, bytes]) -> Callable[[Any], Any]:
    return lambda to: to.xadd(key, fields)


def _reading(key: str, last: str, count: int) -> Callable[[Any], Any]:
    return lambda to: to.xread({key: last}, count=count)


def _checked(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _joined(replies: Sequence[StreamReply]) -> StreamReply:
    return [stream for reply in replies for stream in reply or ()]


def _address(node_name: str) -> tuple[str, int]:
    host, _, port = node_name.rpartition(":")
    return host, int(port)
