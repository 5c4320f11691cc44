"""Several workers over several partitions while everything around them breaks at random."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.faults.points import POINTS, ask, asked, send, spare, start_mortal
from tests.chaos.faults.proxy import Fault, Proxy
from tests.chaos.faults.refusals import Refusing
from tests.chaos.harness import COMMIT, finish, make_readings, make_store, push, start_worker
from tests.chaos.producer import Producer
from tests.chaos.storms.faults import (
    BITES,
    BUSY_S,
    FAULT_GAP_S,
    FAULTS,
    KILL_GAP_S,
    KILLS,
    ON_THE_WIRE,
    REFUSAL_S,
    STOP_LEASES,
    Deck,
)
from tests.chaos.verifier import Published, Violations, compare_all
from tests.harness.patience import PATIENCE_S, until
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.wire import keys_of

PARTITIONS = 4
ROUTED = 2  # the first partitions: their readings go through the common stream
WORKERS = 3
LEASE_S = 1.0
TIMEOUT_S = 0.5  # shorter than the lease: a batch is sent again while its first commit is still under way
SETTINGS = f"""
partitions = {PARTITIONS}
redis_timeout = {TIMEOUT_S}
[worker]
lease = {LEASE_S}
batch = 100
block = "20ms"
"""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
MOST_MORE_S = 120.0  # how much longer it lasts at most
POINT_S = 3.0  # how long a worker may take to come to a point that it shall die at


@dataclass(frozen=True, slots=True)
class StormReport:
    """How a storm went.

    Attributes:
        readings: how many were pushed.
        crashes: workers that ended by themselves.
        injections: by fault.
        bites: by fault, how often a worker was fenced or in conflict, a partition taken over, a commit replayed.
        violations: of all partitions together.
    """

    readings: int
    crashes: int
    injections: Counter[str]
    bites: dict[str, Counter[str]]
    violations: Violations

    def bitten(self, kind: str) -> int:
        """Return how often something happened, whatever the fault."""
        return sum(counts[kind] for counts in self.bites.values())


def storm_run(folder: Path, seconds: float, rate: int, seed: int) -> StormReport:
    """Break everything for so many seconds while `rate` readings a second arrive; compare with an undisturbed run.

    It lasts longer on a busy machine, until each fault has been injected once.
    """
    entries = make_readings(round(rate * (seconds + MOST_MORE_S)), seed)
    make_store(folder, SETTINGS)
    patience_s = 60 + len(entries) / 100
    with EmbeddedRedis(options=DURABLE) as server, Proxy(server.port) as proxy:
        storm = _Storm(folder, server, proxy, random.Random(seed))
        entries = entries[: storm.run(entries, rate, seconds)]
        time.sleep(1.5 * LEASE_S)  # the partitions of killed workers are free by now, and no other worker shares them
        finish(start_worker(folder, server.url, "--burst"), patience_s)
        published = _read(server)
    with EmbeddedRedis() as calm:
        with Redis.from_url(calm.url, protocol=2) as redis:
            for start in range(0, len(entries), 1000):
                push(redis, entries[start : start + 1000], start, PARTITIONS)
        finish(start_worker(folder, calm.url, "--burst"), patience_s)
        expected = _read(calm)
    violations = compare_all(zip(expected, published, strict=True))
    injections = Counter(fault for _, fault in storm.injected)
    return StormReport(len(entries), storm.crashes, injections, storm.bites(), violations)


def _read(server: EmbeddedRedis) -> list[Published]:
    with Redis.from_url(server.url, protocol=2) as redis:
        return [Published.read(redis, i, PARTITIONS) for i in range(PARTITIONS)]


class _Storm:
    """The workers, their faults, and the times."""

    def __init__(self, folder: Path, server: EmbeddedRedis, proxy: Proxy, rng: random.Random) -> None:
        self.crashes = 0
        self._done: list[tuple[float, str]] = []  # epoch seconds, fault; the proxy keeps those on the wire
        self._folder = folder
        self._server = server
        self._proxy = proxy
        self._rng = rng
        self._workers: list[BaseProcess] = []
        self._stops_due = 0  # they wait until another worker can take over
        self._stopped: list[tuple[float, BaseProcess]] = []  # until when
        self._refusing: tuple[float, Refusing] | None = None  # until when
        self._asked: list[tuple[float, str]] = []  # until when a worker may come to a point
        self._logs: dict[BaseProcess, Path] = {}  # every worker's, dead or alive
        self._kills = Deck(rng, KILLS)
        self._faults = Deck(rng, FAULTS)
        self._points = Deck(rng, dict.fromkeys(POINTS, 1))

    @property
    def injected(self) -> list[tuple[float, str]]:
        """Return the injected faults: epoch seconds and name, in order of time."""
        names = {kind: name for name, kinds in ON_THE_WIRE.items() for kind in kinds}
        return sorted([*self._done, *((at, names[fault.kind]) for at, fault in self._proxy.met)])

    def run(self, entries: Sequence[dict[bytes, bytes]], rate: int, seconds: float) -> int:
        """Break something again and again, then stop everything politely; return the number of readings pushed."""
        try:
            self._workers = [self._start() for _ in range(WORKERS)]
            self._await_service()
            producer = Producer(self._server.url, entries, rate, PARTITIONS, routed=ROUTED)
            producer.start()
            began = kill_due = fault_due = time.monotonic()
            while producer.is_alive() and (time.monotonic() < began + seconds or not self._injected_all()):
                self._supervise()
                if time.monotonic() >= kill_due:
                    self._kill()
                    kill_due += self._rng.uniform(*KILL_GAP_S)  # from when it was due: the pace is by the clock
                if time.monotonic() >= fault_due:
                    self._inject(self._faults.draw())
                    fault_due += self._rng.uniform(*FAULT_GAP_S)
                time.sleep(0.01)
            self._end_refusal()  # before it, as a producer that is refused tries for ever
            producer.stop()
            self._calm_down()
            return producer.pushed
        finally:
            for worker in self._workers:
                worker.kill()
                worker.join()

    def _injected_all(self) -> bool:
        return {*KILLS, *FAULTS} == {fault for _, fault in self.injected}

    def bites(self) -> dict[str, Counter[str]]:
        """Return the effects of each fault, from the workers' logs and the proxy's replies."""
        bites = {fault: Counter[str]() for fault in (*KILLS, *FAULTS)}
        injected = self.injected
        for at, kind in sorted([*self._events(), *self._proxy.seen]):
            before = [fault for moment, fault in injected if moment <= at]
            causes = [fault for fault in before if fault in BITES[kind]] or before
            if causes:
                bites[causes[-1]][kind] += 1
        return bites

    def _events(self) -> list[tuple[float, str]]:
        events = []
        for line in (line for log in self._logs.values() if log.exists() for line in log.read_bytes().splitlines()):
            try:
                entry = json.loads(line)
                kind = kind_of(entry)
                if kind:
                    events.append((datetime.fromisoformat(entry["timestamp"]).timestamp(), kind))
            except ValueError:  # a killed worker's last line, or Python's own
                continue
        return events

    def _start(self) -> BaseProcess:
        log = self._folder / f"worker-{len(self._logs)}.log"
        worker = start_mortal(self._folder, self._proxy.url, log)
        self._logs[worker] = log
        return worker

    def _await_service(self) -> None:
        """Wait until every partition has been acquired: before that nothing could be broken."""
        with Redis.from_url(self._server.url, protocol=2) as redis:
            until(lambda: all(redis.exists(keys_of(i, PARTITIONS).lease) for i in range(PARTITIONS)))

    def _supervise(self) -> None:
        """Restart each worker that ended, as a supervisor would, and end faults that have lasted long enough."""
        now = time.monotonic()
        for end, worker in list(self._stopped):
            if now >= end:
                send(worker, signal.SIGCONT)
                self._stopped.remove((end, worker))
        if self._refusing and now >= self._refusing[0]:
            self._end_refusal()
        if self._stops_due and len(at_work := self._at_work()) > 1:
            self._stop(at_work)
        for end, point in list(self._asked):
            if not asked(self._folder, point) or (now >= end and not spare(self._folder, point)):
                self._note("kill a worker at a named point")
                self._asked.remove((end, point))
            elif now >= end:
                self._asked.remove((end, point))
        for worker in [worker for worker in self._workers if not worker.is_alive()]:
            self.crashes += worker.exitcode != -signal.SIGKILL
            self._workers.remove(worker)
            self._workers.append(self._start())

    def _note(self, fault: str) -> None:
        self._done.append((time.time(), fault))

    def _at_work(self) -> list[BaseProcess]:
        """Return the workers that have logged a line and are not stopped: killing one that has not begun would break
        nothing.
        """
        stopped = [worker for _, worker in self._stopped]
        begun = [worker for worker in self._workers if (log := self._logs[worker]).exists() and log.stat().st_size]
        return [worker for worker in begun if worker not in stopped and worker.is_alive()]

    def _owners(self) -> set[int]:
        """Return the process ids of the workers that hold a partition; none while Redis does not answer."""
        try:
            with Redis.from_url(self._server.url, protocol=2, decode_responses=True) as redis:
                names = [redis.hget(keys_of(i, PARTITIONS).lease, "owner") for i in range(PARTITIONS)]
        except RedisError:
            return set()
        return {int(str(name).split("-")[-2]) for name in names if name}

    def _kill(self) -> None:
        fault = self._kills.draw()
        at_work = self._at_work()
        if fault == "kill a worker" and at_work:
            self._note(fault)
            self._rng.choice(at_work).kill()
        else:
            waited_for = [point for _, point in self._asked]
            point = next(point for point in iter(self._points.draw, None) if point not in waited_for)
            self._asked.append((time.monotonic() + POINT_S, point))
            ask(self._folder, point)

    def _inject(self, fault: str) -> None:
        if fault in ON_THE_WIRE:
            self._proxy.arm(self._fault_on_the_wire(fault))
        elif fault == "stop a worker beyond its lease":
            self._stops_due += 1
        elif fault == "kill Redis":
            self._note(fault)
            self._server.kill()
            time.sleep(self._rng.uniform(0, 0.5))
            self._server.start()
        else:
            self._end_refusal()  # one at a time: while Redis is busy, it does nothing else
            self._note(fault)
            self._disturb(fault)

    def _stop(self, at_work: list[BaseProcess]) -> None:
        owners = self._owners()
        worker = self._rng.choice([worker for worker in at_work if worker.pid in owners] or at_work)
        self._stops_due -= 1
        self._note("stop a worker beyond its lease")
        send(worker, signal.SIGSTOP)
        self._stopped.append((time.monotonic() + LEASE_S * self._rng.uniform(*STOP_LEASES), worker))

    def _disturb(self, fault: str) -> None:
        if fault == "SCRIPT FLUSH":
            with Redis.from_url(self._server.url, protocol=2) as redis:
                redis.script_flush()
        else:
            lasts_s = self._rng.uniform(*(BUSY_S if fault == "BUSY" else REFUSAL_S))
            self._refusing = (time.monotonic() + lasts_s, Refusing(self._server.url, fault))

    def _end_refusal(self) -> None:
        if self._refusing:
            self._refusing[1].end()
            self._refusing = None

    def _fault_on_the_wire(self, fault: str) -> Fault:
        needle = COMMIT if self._rng.random() < 0.7 else b""  # most of them where it matters most
        # Some delays are longer than the worker waits: the request arrives after it has given up.
        delay_s = self._rng.uniform(0.05, 4 * TIMEOUT_S) if fault == "delay" else 0.0
        return Fault(self._rng.choice(ON_THE_WIRE[fault]), needle, delay_s)

    def _calm_down(self) -> None:
        self._proxy.disarm()
        for _, point in self._asked:
            spare(self._folder, point)
        for _, worker in self._stopped:
            send(worker, signal.SIGCONT)
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:  # it had not yet begun, or had come to its point just before
            worker.join(PATIENCE_S)
            if worker.exitcode not in (0, -signal.SIGTERM, -signal.SIGKILL):
                raise RuntimeError(f"a worker that was stopped politely ended with exit code {worker.exitcode}")


def kind_of(entry: dict[str, object]) -> str | None:
    """Return the report's kind for a line of a worker's log."""
    if entry.get("event") == "partition acquired":
        return "takeovers" if int(str(entry["epoch"])) > 1 else None
    if entry.get("event") == "partition dropped":
        reason = str(entry["reason"])
        return "fenced" if "another worker" in reason else "conflicts" if "offset" in reason else None
    return None
