"""Workers that are broken on purpose: a verifier that passes them proves nothing.

`python -m tests.chaos.controls worker NAME ...` runs the real worker with one guard taken out. Each of them stops or
dies at its named point, where the guard would have mattered, as soon as the file `at-the-point` is there.
"""

import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from redis import Redis

from tests.chaos.harness import EPOCH, entry_id, finish, make_readings, make_store, push, start_worker
from tests.chaos.verifier import Published, Violations, compare
from tests.harness.forecasts import entries
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.lag import Lag
from tidecast.online.batch import BatchResult
from tidecast.online.series.state_changes import StateChanges
from tidecast.wire import Keys
from worker.partition.exchange.commit_sender import Meanwhile
from worker.partition.stream import NO_LAG, Stream
from worker.scripts import script_of

BATCH = 50
SETTINGS = f"""
redis_timeout = 5.0
[worker]
lease = 1.0
batch = {BATCH}
block = "20ms"
"""
POINT = Path("at-the-point")
GIVE_UP_S = 5.0  # a reading that a control has corrupted may never be finished
READINGS = 200  # before and after the point


def _at_the_point(number: signal.Signals) -> None:
    if POINT.exists():
        POINT.unlink()
        signal.pthread_kill(threading.get_ident(), number)  # to the process, it would find this thread past the point


class Sound(Stream):
    """The real worker, stopped just before a commit; the verifier must find nothing."""

    def commit(
        self, epoch: int, started_from: str, outcome: BatchResult, lag: Lag = NO_LAG, meanwhile: Meanwhile = None
    ) -> None:
        """Sleep beyond the lease, then commit."""
        _at_the_point(signal.SIGSTOP)
        super().commit(epoch, started_from, outcome, lag, meanwhile)


class Unfenced(Sound):
    """Its commit.lua checks neither the epoch nor the offset."""

    def __init__(self, redis: Redis, *rest: Any) -> None:
        super().__init__(redis, *rest)
        self._sender._script = redis.register_script(without_fence(script_of("commit")))


class OffsetFirst(Stream):
    """It moves the offset in one call and publishes in another."""

    def commit(
        self, epoch: int, started_from: str, outcome: BatchResult, lag: Lag = NO_LAG, meanwhile: Meanwhile = None
    ) -> None:
        """Move, die, publish."""
        super().commit(epoch, started_from, BatchResult(outcome.last, counts=outcome.counts), lag, meanwhile)
        if outcome.forecasts:
            _at_the_point(signal.SIGKILL)
        with self._redis.pipeline() as pipeline:
            for entry_id, fields in entries(outcome.forecasts):
                pipeline.xadd(self.keys.forecasts, fields, id=entry_id)  # type: ignore[arg-type] # texts are fine
            for letter in outcome.dead:
                flat = letter.encode()
                pipeline.xadd(self.keys.dead, dict(zip(flat[::2], flat[1::2], strict=True)), id=letter.id)
            _write_states(pipeline, self.keys, outcome)
            pipeline.execute()


class StateApart(Stream):
    """It writes the series' state before the commit."""

    def commit(
        self, epoch: int, started_from: str, outcome: BatchResult, lag: Lag = NO_LAG, meanwhile: Meanwhile = None
    ) -> None:
        """Write the states, die, commit the rest."""
        _write_states(self._redis, self.keys, outcome)
        if outcome.forecasts:
            _at_the_point(signal.SIGKILL)
        super().commit(epoch, started_from, replace(outcome, states=StateChanges()), lag, meanwhile)


def _write_states(redis: Redis, keys: Keys, outcome: BatchResult) -> None:
    if outcome.states:
        redis.hset(keys.state, mapping=dict(outcome.states))  # type: ignore[arg-type] # bytes are fine


def without_fence(script: str) -> str:
    """Take steps 1 and 2 out of commit.lua."""
    changed, count = re.subn(r"^-- 1\. .*?(?=^-- 3\. )", "", script, flags=re.DOTALL | re.MULTILINE)
    if count != 1 or "FENCED" in changed or "CONFLICT" in changed:
        raise RuntimeError("commit.lua has other steps than this control knows: adapt it")
    return changed


PROGRAMS: dict[str, type[Stream]] = {
    "sound": Sound,
    "no-fence": Unfenced,
    "offset-first": OffsetFirst,
    "state-apart": StateApart,
}
CONTROLS = tuple(name for name in PROGRAMS if name != "sound")  # those that must be caught


def run_control(folder: Path, name: str) -> Violations:
    """Run a broken worker into its hole, let a real one finish, and compare with an undisturbed one."""
    make_store(folder, SETTINGS)
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        (_overtake if issubclass(PROGRAMS[name], Sound) else _die)(folder, name, server.url, redis, _parts())
        return compare(_undisturbed(), Published.read(redis))


@cache  # it is the same for all of them
def _undisturbed() -> Published:
    with TemporaryDirectory() as name, EmbeddedRedis() as calm, Redis.from_url(calm.url, protocol=2) as redis:
        make_store(Path(name), SETTINGS)
        push(redis, [entry for part in _parts() for entry in part], 0)
        finish(start_worker(Path(name), calm.url, "--burst"))
        return Published.read(redis)


def _parts() -> list[list[dict[bytes, bytes]]]:
    """Return the readings before the point, those at it, and those after it."""
    return [make_readings(READINGS, seed=1), _late_readings(), make_readings(2 * READINGS, seed=1)[READINGS:]]


def _overtake(folder: Path, name: str, url: str, redis: Redis, parts: list[list[dict[bytes, bytes]]]) -> None:
    """Stop a worker before a commit until another one is past it, then let it go on.

    The batch holds only late readings: the streams' own ids would refuse forecasts that are there already.
    """
    readings, late, rest = parts
    ends = (len(readings), len(readings) + len(late), len(readings) + len(late) + len(rest) // 2)
    with _running(folder, name, url) as first:
        push(redis, readings, 0)
        until(lambda: _reached(redis, ends[0]))
        (folder / POINT).touch()
        push(redis, late, ends[0])
        until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED)
        push(redis, rest[: ends[2] - ends[1]], ends[1])
        with _running(folder, name, url) as second:
            until(lambda: _reached(redis, ends[2]))
            second.terminate()
            finish(second)
        first.send_signal(signal.SIGCONT)
        push(redis, rest[ends[2] - ends[1] :], ends[2])
        total = sum(map(len, parts))
        with nullcontext() if name == "sound" else suppress(AssertionError):
            until(lambda: _reached(redis, total), PATIENCE_S if name == "sound" else GIVE_UP_S)


def _die(folder: Path, name: str, url: str, redis: Redis, parts: list[list[dict[bytes, bytes]]]) -> None:
    """Let a worker kill itself between its two calls, and a real one finish."""
    readings, late, rest = parts
    with _running(folder, name, url) as worker:
        push(redis, readings + late, 0)
        until(lambda: _reached(redis, len(readings + late)))
        (folder / POINT).touch()
        push(redis, rest, len(readings + late))
        worker.wait(PATIENCE_S)
    time.sleep(1.2)  # its lease runs out
    finish(start_worker(folder, url, "--burst"))


def _late_readings() -> list[dict[bytes, bytes]]:
    """Return a batch of readings from before all others."""
    return [{b"series": b"series-0", b"ts": b"%d" % (EPOCH - 3_600_000), b"value": b"1.0"}] * BATCH


@contextmanager
def _running(folder: Path, name: str, url: str) -> Iterator[Forked]:
    worker = start_worker(folder, url, name, program="tests.chaos.controls")
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def _reached(redis: Redis, pushed: int) -> bool:
    last: Any = redis.hget("offset", "last")
    return bool(last == entry_id(pushed - 1).encode())


def main() -> None:
    """Run the real worker's command with the named control's stream."""
    from tidecast.cli import main as cli
    from worker.layout import layouts as program

    name = next(argument for argument in sys.argv if argument in PROGRAMS)
    sys.argv.remove(name)
    program.Stream = PROGRAMS[name]  # type: ignore[attr-defined] # a control takes its place
    cli.main()


if __name__ == "__main__":
    main()
