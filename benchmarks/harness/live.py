"""A worker that answers a steady flow, before and while its schedule retrains all of its series in the child process.

The series have a history that the worker has answered, and champions of random weights: each learns anew from them. The
flow is one all the time; the moments of the events `started` and `finished` say which of its readings were due before
the retraining and which meanwhile.
"""

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
from numpy.typing import NDArray
from redis import Redis

from benchmarks.harness.contestants import Contestant, serving, worker_process
from benchmarks.harness.flow import Flow, flow
from benchmarks.harness.models import publish_models
from benchmarks.harness.readings import Readings
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore
from tidecast.wire import keys_of

SETTLING_S = 1.0  # at the start of the first flow: the worker's first batches are left out
ADOPTION_S = 3.0  # after the last event: the last champions are loaded in that time
LOOK_S = 0.5  # between two looks at the worker's memory map
VERDICTS = ("promoted", "refused")
FOREIGN = b"tensorflow"

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Retraining:
    """How a retraining beside a flow went."""

    calm_ms: Float  # of the forecasts before it
    during_ms: Float  # of those meanwhile
    lost: int  # readings without a forecast
    series: int  # with a verdict
    promoted: int
    seconds: float  # from the event `started` to `finished`
    child_mb: float  # the most that the child had resident
    child_cpu_s: float  # of its processor time, at the last look

    @property
    def p99_ratio(self) -> float:
        """How much later the 99th percentile of the forecasts is."""
        return float(np.percentile(self.during_ms, 99) / np.percentile(self.calm_ms, 99))

    @property
    def series_per_minute(self) -> float:
        """Series with a verdict a minute of the run."""
        return 60 * self.series / self.seconds


def retrain_live(
    series: int, readings: int, rate: float, calm_s: float, flow_s: float, limit_s: float, variables: dict[str, str]
) -> Retraining:
    """Let the schedule of a worker retrain all series while readings flow.

    Args:
        series: how many; each has a champion.
        readings: of each series, recorded before.
        rate: readings a second of the flow.
        calm_s: from the worker's start until the retraining is due.
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
        # The run covers all series: none is put off, and none is due a second time before the flow has ended.
        told = {"RETRAIN__EVERY": f"{round(calm_s)}s", "RETRAIN__BUDGET": "50m", "RETRAIN__MIN_NEW": str(readings)}
        process = stack.enter_context(worker_process(server.url, folder, variables=told | variables))
        worker = Contestant("worker", process, folder / "worker.log", redis, keys_of(), Readings(series), recorded)
        worker.remembers = True
        worker.warm_up(series)
        watch = stack.enter_context(_watching(process.pid))
        flows = list(_flows(worker, server, rate, flow_s, limit_s))
        if watch.found:
            raise RuntimeError(f"the worker's memory map holds {FOREIGN.decode()}")
        return _sum_up(worker, flows, watch)


def _record(server: EmbeddedRedis, folder: Path, readings: Readings, count: int) -> int:
    """Let a worker without a schedule answer the history, and say how many readings it has."""
    with serving(server, folder, readings) as worker:
        worker.warm_up(count)
    return count


def _flows(worker: Contestant, server: EmbeddedRedis, rate: float, flow_s: float, limit_s: float) -> Iterator[Flow]:
    """Flow after flow until a run has ended.

    Raises:
        RuntimeError: it failed, or takes too long.
    """
    until = time.monotonic() + limit_s
    while not _moments(worker, "finished"):
        if time.monotonic() > until or _moments(worker, "failed"):
            raise RuntimeError(f"no retraining has finished: {worker.said()}")
        found = flow(worker, server, rate, flow_s)
        yield found
        p99_ms, worst_ms = found.percentile(99), found.percentile(100)
        state = "while retraining" if _moments(worker, "started") else "calm"
        print(f"{len(found.ms):,} forecasts, p99 {p99_ms:.1f} ms, worst {worst_ms:.0f} ms, {state}", flush=True)


def _sum_up(worker: Contestant, flows: list[Flow], watch: "_Watch") -> Retraining:
    started, finished = _moments(worker, "started")[0], _moments(worker, "finished")[0]
    ms, due_s = np.concatenate([found.ms for found in flows]), np.concatenate([found.due_s for found in flows])
    calm = (due_s > due_s[0] + SETTLING_S) & (due_s < started)
    during = (due_s >= started) & (due_s < finished + ADOPTION_S)
    if not calm.any() or not during.any():
        raise RuntimeError("the retraining began before the flow or after it: give it another --calm")
    return Retraining(
        calm_ms=ms[calm],
        during_ms=ms[during],
        lost=sum(found.lost for found in flows),
        series=sum(at <= finished for kind in VERDICTS for at in _moments(worker, kind)),
        promoted=sum(at <= finished for at in _moments(worker, "promoted")),
        seconds=finished - started,
        child_mb=watch.child_mb,
        child_cpu_s=watch.child_cpu_s,
    )


def _moments(worker: Contestant, kind: str) -> list[float]:
    """When there were events of a kind, in seconds of the monotonic clock."""
    offset = time.time() - time.monotonic()
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.redis.xrange(worker.keys.events))
    return [int(at.partition(b"-")[0]) / 1000 - offset for at, said in entries if said[b"kind"] == kind.encode()]


class _Watch:
    """What is seen of a worker and its child from outside."""

    def __init__(self, pid: int) -> None:
        self._worker = psutil.Process(pid)
        self._maps = Path(f"/proc/{pid}/maps")
        self.found = False  # TensorFlow in the worker
        self.child_mb = self.child_cpu_s = 0.0

    def look(self) -> None:
        """Look once."""
        if self._maps.exists():  # Linux
            self.found |= FOREIGN in self._maps.read_bytes().lower()
        for child in self._worker.children():
            try:
                times = child.cpu_times()
                self.child_mb = max(self.child_mb, child.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
            self.child_cpu_s = max(self.child_cpu_s, times.user + times.system)


@contextmanager
def _watching(pid: int) -> Iterator[_Watch]:
    """Look at a worker now and then, beside what is measured."""
    watch, ended = _Watch(pid), threading.Event()

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
