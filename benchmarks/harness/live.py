"""A worker under a steady flow, before and while its schedule retrains all of its series in the child process.

The series have a history of consumed readings, and champions with random weights, from which each retraining starts.
The run is due from the beginning, and the benchmark holds its claim until the calm part of the flow is over: the
worker's own schedule then starts it. The flow does not change; the times of the events `started` and `finished`
separate the readings before the retraining from those during it.
"""

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import psutil
from redis import Redis

from benchmarks.harness.contestants import Contestant, serving
from benchmarks.harness.flow import Flow, flow
from benchmarks.harness.models import publish_models
from benchmarks.harness.processes import worker_process
from benchmarks.harness.readings import Readings
from tidecast.arrays import Float
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore
from tidecast.settings import WorkerSettings
from tidecast.wire import keys_of
from worker.retraining.job_state import Busy, JobState

SETTLING_S = 1.0  # at the start of the first flow: the worker's first batches are not counted
ADOPTION_S = 3.0  # after the last event: the last champions are loaded in this time
LOOK_S = 0.5  # between two reads of the worker's memory map
RENEW_S = 1.0  # between two renewals of the benchmark's claim, which expires after 15 s
EVERY = "1h"  # the schedule's interval: no second run is due before the flow has ended
VERDICTS = ("promoted", "refused")
FOREIGN = b"tensorflow"


@dataclass(frozen=True, slots=True)
class Retraining:
    """The measurements of a retraining beside a flow."""

    calm_ms: Float  # of the forecasts before it
    during_ms: Float  # of the forecasts during it
    lost: int  # readings without a forecast
    series: int  # with a verdict
    promoted: int
    seconds: float  # from the event `started` to `finished`
    child_mb: float  # the child's peak resident memory
    child_cpu_s: float  # the child's processor time, when last read

    @property
    def p99_ratio(self) -> float:
        """Return the 99th percentile of the delays during the retraining over that before it."""
        return float(np.percentile(self.during_ms, 99) / np.percentile(self.calm_ms, 99))

    @property
    def series_per_minute(self) -> float:
        """Return the number of series with a verdict per minute of the run."""
        return 60 * self.series / self.seconds


def retrain_live(
    series: int, readings: int, rate: float, calm_s: float, flow_s: float, limit_s: float, variables: dict[str, str]
) -> Retraining:
    """Run a worker whose schedule retrains all series while readings flow.

    Args:
        series: their number; each has a champion.
        readings: of each series, recorded before.
        rate: readings a second of the flow.
        calm_s: of the flow before the retraining; at least one flow.
        flow_s: of one flow; they follow each other until the retraining has finished.
        limit_s: for all flows.
        variables: further settings of the worker.

    Raises:
        RuntimeError: the retraining failed or did not finish, or TensorFlow was found in the worker.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish_models(ModelStore(folder / "models"), series)
        server = stack.enter_context(EmbeddedRedis())
        redis = stack.enter_context(Redis.from_url(server.url, protocol=2))
        recorded = _record(server, folder, Readings(series), series * readings)
        # The run covers all series: it puts off no series.
        schedule = {"RETRAIN__EVERY": EVERY, "RETRAIN__BUDGET": "50m", "RETRAIN__MIN_NEW": str(readings)}
        released = stack.enter_context(_held_run(redis))
        process = stack.enter_context(worker_process(server.url, folder, variables=schedule | variables))
        worker = Contestant("worker", process, folder / "worker.log", redis, keys_of(), Readings(series), recorded)
        worker.remembers = True
        worker.warm_up(series)
        with _watching(process.pid) as watch:
            flows = [_flow(worker, server, rate, flow_s) for _ in range(math.ceil(calm_s / flow_s))]
            released.set()
            flows += _flows(worker, server, rate, flow_s, limit_s)
        return _sum_up(worker, flows, watch)


def _record(server: EmbeddedRedis, folder: Path, readings: Readings, count: int) -> int:
    """Run a worker without a schedule over the history; return the number of its readings."""
    with serving(server, folder, readings) as worker:
        worker.warm_up(count)
    return count


def _flows(worker: Contestant, server: EmbeddedRedis, rate: float, flow_s: float, limit_s: float) -> Iterator[Flow]:
    """Run flows until a retraining has ended; yield each.

    Raises:
        RuntimeError: the retraining failed, or takes too long.
    """
    until = time.monotonic() + limit_s
    while not _moments(worker, "finished"):
        if time.monotonic() > until or _moments(worker, "failed"):
            raise RuntimeError(f"no retraining has finished: {worker.log_end()}")
        yield _flow(worker, server, rate, flow_s)


def _flow(worker: Contestant, server: EmbeddedRedis, rate: float, flow_s: float) -> Flow:
    """Run one flow, and print its figures."""
    measured = flow(worker, server, rate, flow_s)
    p99_ms = measured.percentile(99)
    worst_ms = measured.percentile(100)
    state = "while retraining" if _starts(worker) else "calm"
    print(f"{len(measured.ms):,} forecasts, p99 {p99_ms:.1f} ms, worst {worst_ms:.0f} ms, {state}", flush=True)
    return measured


def _sum_up(worker: Contestant, flows: list[Flow], watch: "_Watch") -> Retraining:
    """Return the measurements.

    Raises:
        RuntimeError: TensorFlow was found in the worker, or no reading was due in one of the parts.
    """
    if watch.found_tensorflow:
        raise RuntimeError(f"the worker's memory map holds {FOREIGN.decode()}")
    started = _starts(worker)[0]
    finished = _moments(worker, "finished")[0]
    ms = np.concatenate([each.ms for each in flows])
    due_s = np.concatenate([each.due_s for each in flows])
    calm = (due_s > due_s[0] + SETTLING_S) & (due_s < started)
    during = (due_s >= started) & (due_s < finished + ADOPTION_S)
    if not calm.any():
        raise RuntimeError(f"no reading was due in the calm part: --calm must be longer than {SETTLING_S:g} s")
    if not during.any():
        raise RuntimeError("no reading was due while the models were trained: the machine is too busy, try again")
    return Retraining(
        calm_ms=ms[calm],
        during_ms=ms[during],
        lost=sum(each.lost for each in flows),
        series=sum(at <= finished for kind in VERDICTS for at in _moments(worker, kind)),
        promoted=sum(at <= finished for at in _moments(worker, "promoted")),
        seconds=finished - started,
        child_mb=watch.child_mb,
        child_cpu_s=watch.child_cpu_s,
    )


def _starts(worker: Contestant) -> list[float]:
    """Return the times at which the worker's schedule has started a child: after the claim of the benchmark."""
    return _moments(worker, "started")[1:]


def _moments(worker: Contestant, kind: str) -> list[float]:
    """Return the times of all events of a kind, in seconds of the monotonic clock."""
    offset = time.time() - time.monotonic()
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.redis.xrange(worker.keys.events))
    return [int(at.partition(b"-")[0]) / 1000 - offset for at, fields in entries if fields[b"kind"] == kind.encode()]


@contextmanager
def _held_run(redis: Redis) -> Iterator[threading.Event]:
    """Claim a due run before the worker starts; the worker's schedule waits until the yielded event is set.

    Raises:
        RuntimeError: the run has another owner.
    """
    record = JobState(redis, keys_of(), "benchmark", WorkerSettings().events_kept)
    now_ms = round(1000 * time.time())
    record.plan(f"every {EVERY}", now_ms)
    claim = record.claim(now_ms, "benchmark", missed=0)
    if isinstance(claim, Busy):
        raise RuntimeError("the retraining that is due has another owner")
    released = threading.Event()

    def hold() -> None:
        while not released.wait(RENEW_S):
            record.beat(claim)
        record.give_back(claim)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield released
    finally:
        released.set()
        thread.join()


class _Watch:
    """A monitor of a worker and its child from outside."""

    def __init__(self, pid: int) -> None:
        self._worker = psutil.Process(pid)
        self._maps = Path(f"/proc/{pid}/maps")
        self.found_tensorflow = False  # in the worker's memory map
        self.child_mb = 0.0
        self.child_cpu_s = 0.0

    def look(self) -> None:
        """Read memory map, memory and processor time once."""
        if self._maps.exists():  # Linux
            self.found_tensorflow |= FOREIGN in self._maps.read_bytes().lower()
        for child in self._worker.children():
            try:
                times = child.cpu_times()
                self.child_mb = max(self.child_mb, child.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
            self.child_cpu_s = max(self.child_cpu_s, times.user + times.system)


@contextmanager
def _watching(pid: int) -> Iterator[_Watch]:
    """Monitor a worker on a thread during the block."""
    watch = _Watch(pid)
    ended = threading.Event()

    def look_on(ended: Callable[[float], bool] = ended.wait) -> None:
        while not ended(LOOK_S):
            watch.look()

    watch.look()
    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
