"""The number of partitions changes under load, while everything is killed.

Three producers push all the time: one with the real client, one to the plain stream, and one that stays with the
partitions from before the last repartition. Workers, the command and Redis are killed at random.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.harness import EPOCH, finish, make_store, start_worker
from tests.chaos.repartitions.load import LOOK_S, TICK_S, TickingProducer
from tests.chaos.repartitions.waits import Waits, Watch
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tidecast.client import Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.partitions import at_present, offset_of
from tidecast.connection.repartitions import read_repartition
from tidecast.settings import load_settings
from tidecast.wire import DISPOSITIONS, Keys, Layout, keys_of, layout_of

KINDS = ("missing", "duplicated", "disordered", "wrong")
SERIES = 120
CHANGES = (16, 4, 1)
WORKERS = 2
SETTINGS = """
redis_timeout = 1.0
[worker]
lease = 1.0
batch = 100
block = "20ms"
"""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
FIRST_KILL_S = 0.3  # after the command was started, at most: an undisturbed repartition takes as long
LONGEST_PAUSE_S = 1.5  # between the first kill and the second
CONTROL_RATE = 600
CONTROL_CHANGES = CHANGES[:1]  # a worker without a guard breaks a promise in the first already
STUCK_S = 15.0  # without an answer: the remaining readings are lost
STUCK_CONTROL_S = 4.0  # the same for a worker without a guard, which loses some
# KEYS: a counter   ARGV: the number of this push, then (stream, series, ts, value)...   Pushes once.
PUSH_ONCE = """
if tonumber(redis.call('GET', KEYS[1]) or '-1') >= tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV, 4 do
  redis.call('XADD', ARGV[i], '*', 'series', ARGV[i + 1], 'ts', ARGV[i + 2], 'value', ARGV[i + 3])
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""
Rows = dict[str, list[tuple[tuple[bytes, bytes], ...]]]  # the forecasts of each series, in their order


@dataclass(slots=True)
class RepartitionReport:
    """The result of a run.

    Attributes:
        readings: how many were pushed.
        seconds: how long that took.
        repartitions: how many there were.
        kills: by what was killed.
        waits: how long readings waited for their forecasts, as another program saw it.
        violations: by kind.
        notes: a sentence for some of them.
    """

    readings: int = 0
    repartitions: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    waits: Waits = field(default_factory=Waits)
    seconds: float = 0.0
    violations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    notes: list[str] = field(default_factory=list)

    def total(self) -> int:
        """Return all violations together."""
        return sum(self.violations.values())


def repartition_run(
    folder: Path, rounds: int, rate: int, seed: int, *, calm: bool = False, control: str = ""
) -> RepartitionReport:
    """Change the partitions to 16, 4 and 1 so many times under load; compare with a run that nothing disturbed.

    Args:
        folder: an empty one.
        rounds: how often.
        rate: readings a second of all producers.
        seed: of the kills.
        calm: kill no process, to measure the pause.
        control: the guard that the workers lack.
    """
    make_store(folder, SETTINGS)
    report = RepartitionReport()
    with EmbeddedRedis(options=DURABLE) as server:
        run = _Run(folder, server, rate, random.Random(seed), report, control)
        pushed = run.change(rounds, calm=calm)
        with Redis.from_url(server.url, protocol=2) as redis:
            published = _rows(redis)
            processed = _processed(redis)
    with EmbeddedRedis() as quiet, Redis.from_url(quiet.url, protocol=2) as redis:
        _push_again(redis, pushed)
        finish(start_worker(folder, quiet.url, "--burst"))
        expected = _rows(redis)
    _compare(expected, published, report)
    surplus = processed["forecast"] + processed["late"] - sum(map(len, expected.values()))
    if surplus > 0:
        report.violations["duplicated"] += surplus
        report.notes.append(f"the counts are {dict(processed)}")
    return report


def value_of(series: int, n: int) -> float:
    """Return the reading number n of a series."""
    return 50 + series + (7 * n * n + 3 * series) % 23


class _Run:
    """The workers, the producers and the commands."""

    def __init__(
        self,
        folder: Path,
        server: EmbeddedRedis,
        rate: int,
        rng: random.Random,
        report: RepartitionReport,
        control: str,
    ) -> None:
        self._folder = folder
        self._server = server
        self._rng = rng
        self._report = report
        self._control = control
        self._settings = load_settings(redis_url=server.url)
        self._redis = Redis.from_url(server.url, protocol=2)
        self._once = self._redis.register_script(PUSH_ONCE)
        self._client = Client(server.url)
        self._workers: list[Forked] = []
        self._stale = self._next_stale = Layout()
        per_tick = max(1, round(rate * TICK_S / 3))
        third = SERIES // 3
        pushes = (self._push_by_client, self._push_plain, self._push_stale)
        self._producers = [
            TickingProducer(range(i * third, (i + 1) * third), per_tick, report.waits, push)
            for i, push in enumerate(pushes)
        ]

    def change(self, rounds: int, *, calm: bool) -> Counter[int]:
        """Change the partitions again and again; return how many readings of each series were pushed."""
        watch = Watch(self._server.url, self._report.waits)
        try:
            self._workers = [self._start() for _ in range(WORKERS)]
            until(lambda: self._redis.exists(keys_of().lease))
            began = time.monotonic()
            for thread in (*self._producers, watch):
                thread.start()
            for _ in range(rounds):
                for partitions in CONTROL_CHANGES if self._control else CHANGES:
                    self._change_to(partitions, calm=calm)
            for producer in self._producers:
                producer.stop()
            pushed = sum((producer.pushed for producer in self._producers), Counter[int]())
            self._report.readings = pushed.total()
            self._report.seconds = time.monotonic() - began
            self._await(pushed.total())
            watch.stop()
            for worker in self._workers:
                worker.terminate()
                finish(worker)
            return pushed
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
            self._client.close()

    def _change_to(self, partitions: int, *, calm: bool) -> None:
        """Change the number once, with kills unless it is calm, and let the load go on for a moment.

        Each pause between two kills may be longer than the one before: on a busy machine starts take seconds.
        """
        former = self._layout()
        deadline = time.monotonic() + PATIENCE_S
        command = self._command(partitions)
        kill_at = time.monotonic() + self._rng.uniform(0, FIRST_KILL_S)
        longest_s = LONGEST_PAUSE_S
        while (layout := self._layout()).generation == former.generation:
            assert time.monotonic() < deadline, "the repartition stands still"
            if not calm and time.monotonic() > kill_at:
                self._kill(command)
                kill_at = time.monotonic() + self._rng.uniform(0.3, longest_s)
                longest_s *= 1.3
            if command.poll() is not None and layout.generation == former.generation:
                command = self._command(partitions)
            self._supervise()
            time.sleep(LOOK_S)
        command.kill()
        command.wait()
        self._report.repartitions += 1
        self._next_stale = former
        until(lambda: self._supervise() or read_repartition(self._redis, "") is None)
        time.sleep(self._rng.uniform(0.5, 1.0))

    def _command(self, partitions: int) -> Forked:
        words = ["tidecast", "repartition", "--to", str(partitions), "--redis", self._server.url]
        return Forked("tidecast.cli.main", words, self._folder, os.environ, Path(os.devnull))

    def _kill(self, command: Forked) -> None:
        what = self._rng.choice(("worker", "worker", "command", "Redis"))
        self._report.kills[what] += 1
        if what == "Redis":
            down_at = time.time()
            self._server.kill()
            time.sleep(self._rng.uniform(0, 0.3))
            self._server.start()
            self._report.waits.outages.append((down_at, time.time()))
        elif what == "command":
            command.kill()
        else:
            self._rng.choice(self._workers).kill()

    def _supervise(self) -> None:
        """Start a worker for each that has ended."""
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            self._workers.remove(worker)
            self._workers.append(self._start())

    def _start(self) -> Forked:
        if not self._control:
            return start_worker(self._folder, self._server.url)
        program = "tests.chaos.repartitions.controls"
        return start_worker(self._folder, self._server.url, self._control, program=program)

    def _layout(self) -> Layout:
        return cast("Layout", until(lambda: self._read_layout()))

    def _read_layout(self) -> Layout | None:
        try:
            return layout_of(at_present(self._redis, self._settings))
        except RedisError:
            return None

    def _await(self, readings: int) -> None:
        """Wait until all readings are answered, or no more are."""
        answered = 0
        since = time.monotonic()
        patience_s = STUCK_CONTROL_S if self._control else STUCK_S
        while answered < readings and time.monotonic() - since < patience_s:
            self._supervise()
            if (total := _processed(self._redis).total()) != answered:
                answered = total
                since = time.monotonic()
            time.sleep(LOOK_S)

    def _push_by_client(self, readings: list[tuple[int, int]], _: int) -> None:
        self._client.push_many([(f"series-{s}", value_of(s, n), EPOCH + 1000 * n) for s, n in readings])

    def _push_plain(self, readings: list[tuple[int, int]], tick: int) -> None:
        self._push(readings, tick, "plain", lambda _: keys_of())

    def _push_stale(self, readings: list[tuple[int, int]], tick: int) -> None:
        if self._stale != self._next_stale and not self._is_waiting(self._stale):
            self._stale = self._next_stale
        self._push(readings, tick, "stale", self._stale.keys_for)

    def _is_waiting(self, layout: Layout) -> bool:
        """Return whether readings in the partitions of a former layout are not routed yet: later ones must not pass."""
        for keys in layout.present():
            last = cast("bytes", self._redis.hget(keys.offset, "last"))
            if self._redis.xrange(keys.readings, f"({last.decode()}", count=1):
                return True
        return False

    def _push(self, readings: list[tuple[int, int]], tick: int, name: str, keys: Callable[[str], Keys]) -> None:
        args: list[str | int | float] = [tick]
        for s, n in readings:
            series = f"series-{s}"
            args += (keys(series).readings, series, EPOCH + 1000 * n, value_of(s, n))
        self._once(keys=[f"chaos:{name}"], args=args)


def _rows(redis: Redis) -> Rows:
    """Return the forecasts of each series, generation by generation."""
    rows: Rows = {}
    for part in layout_of(at_present(redis, load_settings())).every_part():
        for _, fields in redis.xrange(part.keys.forecasts):
            rows.setdefault(fields[b"series"].decode(), []).append(tuple(sorted(fields.items())))
    return rows


def _processed(redis: Redis) -> Counter[str]:
    """Return the counts of readings; those that the client has repeated count as duplicates."""
    counts: Counter[str] = Counter()
    try:
        for keys in layout_of(at_present(redis, load_settings())).present():
            counts.update({name: offset_of(redis, keys).counts.get(name, 0) for name in DISPOSITIONS})
    except RedisError:
        return Counter()
    return counts - Counter(duplicate=counts["duplicate"])


def _push_again(redis: Redis, pushed: Counter[int]) -> None:
    with redis.pipeline(transaction=False) as pipeline:
        for s, count in pushed.items():
            for n in range(count):
                fields: dict[bytes | str, str | float] = {"series": f"series-{s}", "ts": EPOCH + 1000 * n}
                pipeline.xadd("readings", fields | {"value": value_of(s, n)})  # type: ignore[arg-type] # bytes are fields too
        pipeline.execute()


def _compare(expected: Rows, published: Rows, report: RepartitionReport) -> None:
    """Compare the forecasts of each series with the expected ones; the origin of each is unique in its series."""
    for series in sorted(expected.keys() | published.keys()):
        expected_by_origin = {dict(row)[b"origin"]: row for row in expected.get(series, [])}
        rows = published.get(series, [])
        origins = [dict(row)[b"origin"] for row in rows]
        by_origin = dict(zip(origins, rows, strict=True))
        counted = {
            "missing": len(expected_by_origin.keys() - by_origin.keys()),
            "duplicated": len(origins) - len(by_origin),
            "disordered": sum(int(a) > int(b) for a, b in pairwise(origins)),
            "wrong": sum(row != expected_by_origin.get(origin) for origin, row in by_origin.items()),
        }
        for kind, number in counted.items():
            report.violations[kind] += number
        if any(counted.values()):
            report.notes.append(f"{series}: {counted}")


def figures_of(report: RepartitionReport) -> dict[str, float]:
    """Return the figures of a run."""
    kills = {f"kills_{what.lower()}": report.kills[what] for what in ("worker", "command", "Redis")}
    counts = {"readings": report.readings, "repartitions": report.repartitions}
    waits = {
        "longest_wait_s": round(report.waits.longest_s(), 2),
        "longest_wait_while_redis_ran_s": round(report.waits.longest_up_s(), 2),
        "longest_outage_of_redis_s": round(max((end - began for began, end in report.waits.outages), default=0.0), 2),
    }
    return {
        **counts,
        "readings_per_second": round(report.readings / report.seconds),
        **kills,
        **waits,
        **report.violations,
    }
