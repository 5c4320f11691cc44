"""Redis Cluster: readings and forecasts of partitions that live in several slots, on several servers.

redis-py finds the servers and follows a slot that moves: a command that was answered with MOVED, ASK or TRYAGAIN was
not executed. It is told to repeat nothing else, for a command whose reply was lost may have been.
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
IDLE_S = (0.002, 0.05)  # the first and the longest pause between two looks at streams that hold nothing new
_Command = tuple[str, Callable[[Any], Any]]  # its key, and how to give it to a client or a pipeline
_NOT_EXECUTED = (MovedError, AskError, TryAgainError)  # answers that say: ask again, or elsewhere


class Cluster(redis.cluster.RedisCluster):
    """A Redis Cluster; what keeps it from serving for a while is an error of the connection, as with one server."""

    def __init__(self, **options: Any) -> None:
        with _as_connection_errors():
            super().__init__(**options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command where its keys are.

        Raises:
            ConnectionError: the servers are away, or the slot is moving and was not served in time.
        """
        with _as_connection_errors():
            return super().execute_command(*args, **options)

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> redis.cluster.ClusterNode | None:
        """Find a server by name, one that holds no slot yet too: the first slot may be moving there."""
        found = super().get_node(host, port, node_name)
        if found is None and node_name:
            found = redis.cluster.ClusterNode(*_address(node_name), redis.cluster.PRIMARY)
            self.nodes_manager.nodes_cache[node_name] = found
        return cast("redis.cluster.ClusterNode | None", found)

    def determine_slot(self, *args: Any) -> int | None:
        """Say in which slot a command's keys are; redis-py would ask a server before each XREAD."""
        if args[0] == "XREAD":
            return cast("int", self.keyslot(args[args.index(b"STREAMS") + 1]))
        return super().determine_slot(*args)

    def add_many(self, entries: Sequence[Entry]) -> list[bytes]:
        """Append entries to their streams, in one round trip for each server; returns their ids."""
        return self._each([(key, _adding(key, fields)) for key, fields in entries])

    def read_each(self, position: Mapping[str, str], count: int, block_ms: int) -> StreamReply:
        """Read streams of several slots, which no one XREAD may, waiting up to `block_ms` for the first entries."""
        deadline, pause_s = time.monotonic() + block_ms / 1000, IDLE_S[0]
        while True:
            found = _joined(self._each([(key, _reading(key, last, count)) for key, last in position.items()]))
            left_s = deadline - time.monotonic()
            if found or left_s <= 0:
                return found
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, IDLE_S[1])

    def _each(self, commands: Sequence[_Command]) -> list[Any]:
        """Run commands on a key each, in one round trip for each server; returns their answers.

        redis-py's own pipeline would send again what may have been executed.
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
        found: dict[str, tuple[redis.cluster.ClusterNode, list[int]]] = {}
        for i, (key, _) in enumerate(commands):
            node = self.get_node_from_key(key)
            found.setdefault(node.name, (node, []))[1].append(i)
        return found.values()

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
        """Run a command where its keys are; see `Cluster.execute_command`."""
        with _as_connection_errors():
            return await super().execute_command(*args, **options)

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> redis.asyncio.cluster.ClusterNode | None:
        """Find a server by name; see `Cluster.get_node`."""
        found = super().get_node(host, port, node_name)
        if found is None and node_name:
            options = self.nodes_manager.connection_kwargs
            found = redis.asyncio.cluster.ClusterNode(*_address(node_name), redis.cluster.PRIMARY, **options)
            self.nodes_manager.nodes_cache[node_name] = found
        return found

    async def add_many(self, entries: Sequence[Entry]) -> list[bytes]:
        """Append entries to their streams; see `Cluster.add_many`. The pipeline of this client repeats nothing."""
        pipeline = self.pipeline()
        for key, fields in entries:
            pipeline.xadd(key, cast("Any", fields))
        with _as_connection_errors():
            return _checked(await self._executed(pipeline))

    async def read_each(self, position: Mapping[str, str], count: int, block_ms: int) -> StreamReply:
        """Read streams of several slots; see `Cluster.read_each`."""
        deadline, pause_s = time.monotonic() + block_ms / 1000, IDLE_S[0]
        while True:
            found = await self._read_each(position, count)
            left_s = deadline - time.monotonic()
            if found or left_s <= 0:
                return found
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, IDLE_S[1])

    async def _read_each(self, position: Mapping[str, str], count: int) -> StreamReply:
        with _as_connection_errors():
            await self.initialize()
            pipeline = self.pipeline()
            for key, last in position.items():
                # With its server named: redis-py would ask a server where the key is, before each XREAD.
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
    """Let callers handle a cluster that is away, or busy moving a slot, as they handle a server that is away."""
    try:
        yield
    except RedisClusterException as exc:
        raise _reason(exc) from exc
    except (ClusterError, TryAgainError) as exc:
        raise RedisConnectionError(f"the Redis Cluster does not serve the slot for now: {exc}") from exc


def _reason(exc: RedisClusterException) -> Exception:
    """What kept redis-py from finding the servers; it calls every refusal of CLUSTER SLOTS by one name."""
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
