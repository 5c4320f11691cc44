"""Send commits to Redis, which runs commit.lua while the worker handles the next batch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from tidecast.connection.lag import Lag
from tidecast.errors import Unavailable
from tidecast.online.batch import BatchResult
from tidecast.online.kernels.redis_arguments import arguments_in
from worker.partition.exchange.pipeline import PackedArguments, PipelinedConnection
from worker.scripts import script_of

WAIT_MS = 200  # how long replicas may take: a worker that waits answers nothing
Meanwhile = Callable[[], None] | None


class CommitSender:
    """The sender of one partition's commits.

    Args:
        redis: the server or cluster.
        wait_replicas: how many replicas must confirm a commit; a cluster does not support it.
    """

    def __init__(self, redis: Redis, wait_replicas: int) -> None:
        self._wait_replicas = wait_replicas
        self._script = redis.register_script(script_of("commit"))
        # In a cluster a slot may move, so redis-py must route the commit; a thread waits for it.
        self._channel: PipelinedConnection | ThreadPoolExecutor = (
            PipelinedConnection(redis) if isinstance(redis, Redis) else ThreadPoolExecutor(1, "commit")
        )

    def send(self, keys: list[str], args: list[Any], packed: PackedArguments, meanwhile: Meanwhile) -> None:
        """Run commit.lua, and wait until enough replicas have the commit.

        Args:
            keys: the keys of the script.
            args: its arguments before the forecasts.
            packed: the forecasts and the states.
            meanwhile: called while Redis commits.

        Raises:
            ResponseError: the script has refused the commit.
            Unavailable: too few replicas have it; the same commit may be sent again, which writes nothing.
        """
        if meanwhile is None:
            self._send_alone(keys, args, packed)
        elif isinstance(self._channel, PipelinedConnection):
            self._send_beside(self._channel, keys, args, packed, meanwhile)
        else:
            committed = self._channel.submit(self._send_alone, keys, args, packed)
            try:
                meanwhile()
            finally:
                committed.result()
        if self._wait_replicas and isinstance(self._channel, PipelinedConnection):
            self._await_replicas(self._channel)

    def reconnect(self) -> None:
        """Close the connection: a new one may reach another server behind the same name."""
        if isinstance(self._channel, PipelinedConnection):
            self._channel.close()

    def close(self) -> None:
        """Give the connection or the thread back; the sender is not used any more."""
        if isinstance(self._channel, PipelinedConnection):
            self._channel.close()
        else:
            self._channel.shutdown(wait=False)

    def _send_alone(self, keys: list[str], args: list[Any], packed: PackedArguments) -> None:
        self._script(keys=keys, args=args + arguments_in(packed.packed))

    def _send_beside(
        self,
        pipelined: PipelinedConnection,
        keys: list[str],
        args: list[Any],
        packed: PackedArguments,
        meanwhile: Callable[[], None],
    ) -> None:
        command = ("EVALSHA", self._script.sha, len(keys), *keys, *args)
        try:
            pipelined.send(command, more=packed)
            try:
                meanwhile()
            finally:
                pipelined.reply()
        except NoScriptError:  # Redis was restarted and has lost the script; nothing has happened
            self._send_alone(keys, args, packed)
        except ResponseError:
            raise
        except Exception:
            pipelined.close()
            raise

    def _await_replicas(self, pipelined: PipelinedConnection) -> None:
        """Wait until enough replicas have everything that was written so far.

        Raises:
            Unavailable: they have not in time.
        """
        try:
            # WAIT is about the data at the connection's last command.
            pipelined.send(("TIME",), ("WAIT", self._wait_replicas, WAIT_MS))
            pipelined.reply()
            confirmed = int(pipelined.reply())
        except Exception:
            pipelined.close()
            raise
        if confirmed < self._wait_replicas:
            raise Unavailable(
                "NOREPLICAS",
                f"{confirmed} of {self._wait_replicas} replicas have confirmed the last commit: bring them back, or "
                "lower worker.wait_replicas",
            )


def result_arguments(result: BatchResult, lag: Lag) -> list[Any]:
    """Return what commit.lua takes before the forecasts and the states, flat: lists have their length before them."""
    counts: dict[str, int] = {"read": sum(result.counts.values()) + lag.lost, "lost": lag.lost, **result.counts}
    if lag.correction:
        counts["before"] = -lag.correction
    args: list[Any] = [len(counts), *chain.from_iterable(counts.items())]
    args.append(len(result.dead))
    for letter in result.dead:
        fields = letter.encode()
        args += (letter.id, len(fields), *fields)
    args.append(len(result.events))
    for event in result.events:
        fields = event.encode()
        args += (len(fields), *fields)
    args.append(len(result.forecasts))
    return args
