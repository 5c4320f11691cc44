"""Several workers over several partitions while everything around them breaks at random."""

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.chaos.harness import finish, make_readings, make_store, push, start_worker
from tests.chaos.proxy import Fault, Proxy
from tests.chaos.verifier import Published, Violations, compare_all
from tidecast.embedded import EmbeddedRedis
from tidecast.wire import keys_of
from worker.stream import script_of

PARTITIONS = 4
WORKERS = 3
LEASE_S = 1.0
TIMEOUT_S = 0.5  # shorter than the lease: a batch is sent again while its first commit is still under way
SETTINGS = f"""
partitions = {PARTITIONS}
redis_timeout_s = {TIMEOUT_S}
[worker]
lease_s = {LEASE_S}
batch = 50
block_ms = 20
"""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
TICK_S = 0.05
GAP_S = (0.1, 0.8)  # between two faults
COMMIT = sha1(script_of("commit").encode()).hexdigest().encode()  # noqa: S324 - as Redis names scripts
FAULTS = {  # how often each comes in a round
    "kill a worker": 2,
    "stop a worker beyond its lease": 2,
    "kill Redis": 1,
    "drop a reply": 3,
    "delay": 2,
    "half-close": 1,
    "SCRIPT FLUSH": 1,
}
# What a fault can bring about: an event counts for the newest fault that can have been its cause.
BITES = {
    "fenced": ("stop a worker beyond its lease", "kill Redis", "delay"),
    "conflicts": ("kill Redis", "drop a reply", "delay", "half-close"),
    "takeovers": ("kill a worker", "stop a worker beyond its lease", "kill Redis", "delay"),
    "replayed": ("kill Redis", "drop a reply", "delay", "half-close"),
}


@dataclass(frozen=True, slots=True)
class StormReport:
    """How a storm went.

    Attributes:
        readings: how many were pushed.
        injections: by fault.
        bites: by fault, how often a worker was fenced or in conflict, a partition taken over, a commit replayed.
        violations: of all partitions together.
    """

    readings: int
    injections: Counter[str]
    bites: dict[str, Counter[str]]
    violations: Violations

    def bitten(self, kind: str) -> int:
        """How often something happened, whatever the fault."""
        return sum(counts[kind] for counts in self.bites.values())


def storm_run(folder: Path, seconds: float, rate: int, seed: int) -> StormReport:
    """Break everything for so many seconds while `rate` readings a second arrive; compare with an undisturbed run."""
    entries = make_readings(round(rate * seconds), seed)
    make_store(folder, SETTINGS)
    patience_s = 60 + len(entries) / 100
    with EmbeddedRedis(options=DURABLE) as server, Proxy(server.port) as proxy:
        storm = _Storm(folder, server, proxy, random.Random(seed))
        storm.run(entries, rate)
        time.sleep(1.5 * LEASE_S)  # what the killed ones held is free by now, and nobody shares with them
        finish(start_worker(folder, server.url, "--burst"), patience_s)
        found = _read(server)
    with EmbeddedRedis() as calm:
        with Redis.from_url(calm.url, protocol=2) as redis:
            for start in range(0, len(entries), 1000):
                push(redis, entries[start : start + 1000], start, PARTITIONS)
        finish(start_worker(folder, calm.url, "--burst"), patience_s)
        expected = _read(calm)
    violations = compare_all(zip(expected, found, strict=True))
    return StormReport(len(entries), Counter(fault for _, fault in storm.injected), storm.bites(), violations)


def _read(server: EmbeddedRedis) -> list[Published]:
    with Redis.from_url(server.url, protocol=2) as redis:
        return [Published.read(redis, i, PARTITIONS) for i in range(PARTITIONS)]


class _Storm:
    """The workers, what happens to them, and when."""

    def __init__(self, folder: Path, server: EmbeddedRedis, proxy: Proxy, rng: random.Random) -> None:
        self.injected: list[tuple[float, str]] = []  # epoch seconds, fault
        self._folder, self._server, self._proxy, self._rng = folder, server, proxy, rng
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopped: list[tuple[float, subprocess.Popen[bytes]]] = []  # until when
        self._logs: list[Path] = []
        self._deck: list[str] = []

    def run(self, entries: Sequence[dict[bytes, bytes]], rate: int) -> None:
        """Break something again and again until everything is pushed, then stop everything politely."""
        try:
            self._workers = [self._start() for _ in range(WORKERS)]
            self._await_service()
            producer = _Producer(self._server.url, entries, rate)
            producer.start()
            due = time.monotonic()
            while producer.is_alive():
                self._supervise()
                if time.monotonic() >= due:
                    self._inject()
                    due = time.monotonic() + self._rng.uniform(*GAP_S)
                time.sleep(0.01)
            self._calm_down()
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()

    def bites(self) -> dict[str, Counter[str]]:
        """What each fault brought about, from the workers' logs and the proxy's replies."""
        found = {fault: Counter[str]() for fault in FAULTS}
        for at, kind in sorted([*self._events(), *self._proxy.seen]):
            before = [fault for moment, fault in self.injected if moment <= at]
            causes = [fault for fault in before if fault in BITES[kind]] or before
            if causes:
                found[causes[-1]][kind] += 1
        return found

    def _events(self) -> list[tuple[float, str]]:
        found = []
        for line in (line for log in self._logs for line in log.read_bytes().splitlines()):
            try:
                entry = json.loads(line)
                kind = kind_of(entry)
                if kind:
                    found.append((datetime.fromisoformat(entry["timestamp"]).timestamp(), kind))
            except ValueError:  # a killed worker's last line, or Python's own
                continue
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        self._logs.append(self._folder / f"worker-{len(self._logs)}.log")
        return start_worker(self._folder, self._proxy.url, log=self._logs[-1])

    def _await_service(self) -> None:
        """Wait until every partition has been acquired: before that nothing could be broken."""
        deadline = time.monotonic() + 30
        with Redis.from_url(self._server.url, protocol=2) as redis:
            while sum(redis.exists(keys_of(i, PARTITIONS).lease) for i in range(PARTITIONS)) < PARTITIONS:
                if time.monotonic() > deadline:
                    raise RuntimeError("the workers do not begin")
                time.sleep(0.05)

    def _supervise(self) -> None:
        """Start anew what ended, as an operator's supervisor would, and wake whoever has slept enough."""
        for until, worker in list(self._stopped):
            if time.monotonic() >= until:
                worker.send_signal(signal.SIGCONT)
                self._stopped.remove((until, worker))
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            self._workers.remove(worker)
            self._workers.append(self._start())

    def _inject(self) -> None:
        if not self._deck:
            self._deck = [fault for fault, times in FAULTS.items() for _ in range(times)]
            self._rng.shuffle(self._deck)
        fault = self._deck.pop()
        awake = [worker for worker in self._workers if all(worker is not stopped for _, stopped in self._stopped)]
        if fault == "stop a worker beyond its lease" and len(awake) < 2:
            return  # somebody has to be there to take over
        self.injected.append((time.time(), fault))
        if fault == "kill a worker":
            self._rng.choice(awake).kill()
        elif fault == "stop a worker beyond its lease":
            worker = self._rng.choice(awake)
            worker.send_signal(signal.SIGSTOP)
            self._stopped.append((time.monotonic() + LEASE_S * self._rng.uniform(1.2, 2.5), worker))
        elif fault == "kill Redis":
            self._server.kill()
            time.sleep(self._rng.uniform(0, 0.5))
            self._server.start()
        elif fault == "SCRIPT FLUSH":
            with Redis.from_url(self._server.url, protocol=2) as redis:
                redis.script_flush()
        else:
            self._proxy.arm(self._fault_on_the_wire(fault))

    def _fault_on_the_wire(self, fault: str) -> Fault:
        needle = COMMIT if self._rng.random() < 0.7 else b""  # most of them where it matters most
        if fault == "drop a reply":
            return Fault("drop_reply", needle)
        if fault == "delay":  # some for longer than the worker waits: the request arrives after it has given up
            kind = self._rng.choice(("delay_request", "delay_reply"))
            return Fault(kind, needle, self._rng.uniform(0.05, 4 * TIMEOUT_S))
        return Fault(self._rng.choice(("half_close_server", "half_close_client")), needle)

    def _calm_down(self) -> None:
        self._proxy.disarm()
        for _, worker in self._stopped:
            worker.send_signal(signal.SIGCONT)
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            if worker.wait(30) not in (0, -signal.SIGTERM):  # the latter: it had not yet begun
                raise RuntimeError(f"a worker that was stopped politely ended with exit code {worker.returncode}")


class _Producer(threading.Thread):
    """Push steadily, past the proxy; what fails is pushed again under the same ids until it is there."""

    def __init__(self, url: str, entries: Sequence[dict[bytes, bytes]], rate: int) -> None:
        super().__init__(name="producer", daemon=True)
        self._url, self._entries, self._rate = url, entries, rate

    def run(self) -> None:
        """Push all."""
        began, start, size = time.monotonic(), 0, max(1, round(self._rate * TICK_S))
        with Redis.from_url(self._url, protocol=2, socket_timeout=5) as redis:
            while start < len(self._entries):
                part = list(self._entries[start : start + size])
                try:
                    push(redis, part, start, PARTITIONS)
                except (RedisConnectionError, RedisTimeoutError):
                    time.sleep(0.02)
                    continue
                start += len(part)
                time.sleep(max(0.0, start / self._rate - (time.monotonic() - began)))


def kind_of(entry: dict[str, object]) -> str | None:
    """Say what a line of a worker's log means to the report."""
    if entry.get("event") == "partition acquired":
        return "takeovers" if int(str(entry["epoch"])) > 1 else None
    if entry.get("event") == "partition dropped":
        reason = str(entry["reason"])
        return "fenced" if "another worker" in reason else "conflicts" if "offset" in reason else None
    return None
