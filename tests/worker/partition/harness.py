"""Batches and server versions that the tests of a partition share."""

from collections import Counter
from collections.abc import Callable

import pytest
from redis import Redis

from tests.harness.forecasts import together
from tidecast.online.batch import BatchResult
from tidecast.online.series.state_changes import StateChanges
from tidecast.wire import DeadLetter, Forecast


def forecast(entry_id: str) -> Forecast:
    """Return a forecast under this id."""
    return Forecast(entry_id, "a", 2, 1.5, None, None, 0.9, 1, None, "naive", 1.0)


def outcome(last: str, *made: str, dead: tuple[str, ...] = (), states: dict[str, bytes] | None = None) -> BatchResult:
    """Return a batch that ended at `last`, with forecasts under these ids."""
    return BatchResult(
        last,
        together(*map(forecast, made)),
        [DeadLetter(entry_id, "bad_value", "why", {b"value": b"x"}) for entry_id in dead],
        Counter(forecast=len(made), dead=len(dead)),
        StateChanges.of({"a": b"state after " + last.encode()} if states is None else states),
    )


def major(redis: Redis) -> int:
    """Return the server's major version: some figures are known from Redis 7 on."""
    return int(redis.info("server")["redis_version"].split(".")[0])


def counted(redis: Redis, lost: int) -> int:
    """Return the number of lost readings as documented: 0 before Redis 7, where it is unknown."""
    return lost if major(redis) >= 7 else 0


def everything(redis: Redis) -> dict[bytes, object]:
    """Return every key with all that it holds; dumps differ between equal streams, their entries do not."""
    dumps: dict[bytes, object] = {}
    for key in redis.scan_iter():
        dumps[key] = redis.dump(key)
    return dumps


def refused(redis: Redis, kind: type[Exception] | tuple[type[Exception], ...], act: Callable[[], object]) -> str:
    """Return the message of a refusal; check that it changed nothing at all."""
    before = everything(redis)
    with pytest.raises(kind) as caught:
        act()
    assert before == everything(redis)
    return str(caught.value)
