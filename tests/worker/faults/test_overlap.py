"""Batches that are handled while the one before is committed: in order and once, whatever happens to a commit."""

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.worker.harness import Impatient, add, forecasts, stream_of
from tidecast.connection.lag import Lag
from tidecast.errors import Fenced, StreamError, Unavailable
from tidecast.online.batch import BatchResult
from tidecast.settings import Settings
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health
from worker.partition.exchange.commit_sender import Meanwhile
from worker.partition.stream import Stream

NOW = 1_700_000_000.0
BATCH = 3
pytestmark = pytest.mark.settings(worker={"batch": BATCH, "block": "1ms", "lease": 5.0})


class Commits:
    """A record of the commits; it raises a given error in place of some commits, or after them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []  # where each batch that was sent ends
        self.beside: list[bool] = []  # whether a batch was handled beside the commit
        self.before: dict[int, Exception] = {}  # by the number of the commit: instead of it
        self.after: dict[int, Exception] = {}  # its reply is lost
        commit = Stream.commit

        def watched(
            stream: Stream,
            epoch: int,
            started_from: str,
            outcome: BatchResult,
            lag: Lag,
            meanwhile: Meanwhile,
            *more: int,
        ) -> None:
            self.sent.append(outcome.last)
            self.beside.append(meanwhile is not None)
            number = len(self.sent)
            if number in self.before:
                raise self.before[number]
            commit(stream, epoch, started_from, outcome, lag, meanwhile, *more)
            if number in self.after:
                raise self.after[number]

        monkeypatch.setattr(Stream, "commit", watched)


def answered(redis: Redis) -> list[int]:
    """Return the readings that have a forecast, in the order of the stream."""
    return [int(forecast.id.removesuffix("-0")) for forecast in forecasts(redis)]


def run(settings: Settings) -> Worker:
    """Run a worker until it has answered all readings."""
    worker = make_worker(settings, Health())
    worker.run(Impatient(10_000), burst=True)
    return worker


def test_every_batch_is_committed_beside_the_next(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no batch follows, the worker only looks for readings during the commit."""
    commits = Commits(monkeypatch)
    add(redis, *range(1, 9))
    run(settings)
    assert [1, 2, 3, 4, 5, 6, 7, 8] == answered(redis)
    assert (["3-0", "6-0", "8-0"], [True, True, True]) == (commits.sent, commits.beside)


@pytest.mark.parametrize("trouble", [Unavailable("OOM", "full: make room"), RedisConnectionError("cut")])
@pytest.mark.parametrize("lost_reply", [False, True])
def test_a_commit_that_fails_is_sent_again_before_the_batch_that_was_handled_meanwhile(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, trouble: Exception, *, lost_reply: bool
) -> None:
    """This holds whether it had happened or not; every reading is answered exactly once."""
    commits = Commits(monkeypatch)
    (commits.after if lost_reply else commits.before)[2] = trouble
    add(redis, *range(1, 12))
    run(settings)
    assert list(range(1, 12)) == answered(redis)
    assert ["3-0", "6-0", "6-0", "9-0", "11-0"] == commits.sent
    # A batch that was handled while its commit was on its way waits until that one was sent again.
    assert [True, True, not lost_reply, True, True] == commits.beside


@pytest.mark.parametrize("end", [Fenced("another has it"), StreamError("foreign entries")])
def test_with_a_commit_that_is_refused_what_was_handled_meanwhile_is_forgotten(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, end: Exception
) -> None:
    """It was based on windows that were never stored; it is handled again from the state in Redis."""
    commits = Commits(monkeypatch)
    commits.before[2] = end
    add(redis, *range(1, 12))
    run(settings)
    undisturbed = [(f.id, f.yhat, f.error) for f in forecasts(redis)]
    assert list(range(1, 12)) == answered(redis)
    assert ["3-0", "6-0", "6-0", "9-0", "11-0"] == commits.sent
    redis.flushall()
    add(redis, *range(1, 12))
    monkeypatch.undo()
    run(settings)
    assert undisturbed == [(f.id, f.yhat, f.error) for f in forecasts(redis)]


def test_what_was_handled_and_not_yet_sent_is_left_to_the_next_worker(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to stop in between, a worker gives the partition back with that batch unanswered."""
    commits = Commits(monkeypatch)
    add(redis, *range(1, 12))
    first = make_worker(settings, Health())
    assert BATCH == first.step(NOW)
    first.leave()
    assert ([1, 2, 3], ["3-0"]) == (answered(redis), commits.sent)
    run(settings)
    assert list(range(1, 12)) == answered(redis)


def test_a_careful_worker_commits_a_batch_before_it_touches_the_next(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It notes the batch that it is about to handle, and there is one place for the note. After a batch it trusts
    again.
    """
    add(redis, *range(1, 9))
    died = stream_of(settings)
    died.attempt(died.acquire("one that died") or 0, "0-0", BATCH)
    redis.hset("lease", "expires_ms", 0)
    commits = Commits(monkeypatch)
    run(settings)
    assert list(range(1, 9)) == answered(redis)
    assert ["1-0", "2-0", "3-0", "6-0", "8-0"] == commits.sent
    assert [False, False, True, True, True] == commits.beside


def test_nothing_is_read_ahead_before_it_is_known_what_was_lost(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise readings that were prefetched and then trimmed would count as lost."""
    calls: list[str] = []
    for name in ("lag", "read_ahead"):
        original = getattr(Stream, name)

        def noted(stream: Stream, *given: object, name: str = name, original: Any = original) -> object:
            calls.append(name)
            return original(stream, *given)

        monkeypatch.setattr(Stream, name, noted)
    add(redis, *range(1, 9))
    run(settings)
    assert ["lag", "read_ahead"] * 3 == calls
