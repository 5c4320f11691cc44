"""Answer the readings of the plant by a real worker, and compare the events with the script."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.harness.detection.plant.sensors import DAY, Fault, Sensor, plant
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import Settings, load_settings
from tidecast.wire import Event, keys_of
from worker.loop import Worker
from worker.main import make_worker
from worker.metrics import Health

BEGIN_MS = 1_700_000_000_000
STEP_MS = 60_000
AT_ONCE = 60  # steps between two rounds of the worker
TICKS = ("--hz", "100")  # Redis ends an empty read at its next tick; by default that takes up to 100 ms
SETTLING = 60  # readings after a fault in which an event belongs to it
LEAST_PAUSE = 5  # readings: the shortest pause that can make a value stuck
EVENTS = {  # by kind of fault
    "spike": "anomaly",
    "step": "level_changed",
    "drift": "level_changed",
    "stuck": "stuck",
    "frozen": "stuck",
    "silent": "silent",
}
ALARMS = ("anomaly", "level_changed", "stuck", "silent")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well the events fit the script.

    Attributes:
        readings: of all sensors.
        faults: by kind: how many were reported in time, of how many.
        delays: by kind: readings from the begin of each reported fault to its event.
        missed: the faults that were not reported in time.
        false_alarms: alarms that belong to no fault.
    """

    readings: int
    faults: dict[str, tuple[int, int]]
    delays: dict[str, list[float]]
    missed: list[tuple[str, Fault]]
    false_alarms: list[Event]

    def share(self, kind: str) -> float:
        """Return the share of the faults of a kind that were reported in time."""
        reported, scripted = self.faults[kind]
        return reported / scripted if scripted else 1.0

    def figures(self) -> dict[str, float]:
        """Return the figures of the benchmark."""
        return {
            "spikes_found_share": self.share("spike"),
            "steps_found_share": self.share("step"),
            "step_delay_median": median(self.delays["step"] or [float("inf")]),
            "drifts_found_share": self.share("drift"),
            "stuck_found_share": self.share("stuck"),
            "frozen_found_share": self.share("frozen"),
            "silent_found_share": self.share("silent"),
            "false_per_5000": 5000 * len(self.false_alarms) / self.readings,
        }


def run_plant(sensors: int = 20, days: int = 14, seed: int = 0) -> Verdict:
    """Run the plant on a Redis server of its own; return how well the events fit the script."""
    script = list(plant(sensors, days, seed))
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(options=TICKS) as server:
        settings = load_settings(
            redis_url=server.url,
            store=Path(folder) / "models",
            worker={"block": "1ms", "events_kept": 1_000_000, "forecasts_kept": 1000},
        )
        with Redis.from_url(server.url, protocol=2) as redis:
            answer(script, settings, redis, days * DAY)
            return judge(script, events_in(redis))


def answer(script: Sequence[Sensor], settings: Settings, redis: Redis, steps: int) -> None:
    """Push the readings in the order of time and let a worker answer them, on a virtual clock."""
    worker = make_worker(settings, Health())
    for first in range(0, steps, AT_ONCE):
        stop = min(steps, first + AT_ONCE)
        push(script, redis, first, stop)
        serve(worker, time_of(stop - 1) + STEP_MS // 2)
    worker.leave()


def push(script: Sequence[Sensor], redis: Redis, first: int, stop: int) -> None:
    """Push the readings of some steps; each arrives when it is measured."""
    pipeline = redis.pipeline(transaction=False)
    for n in range(first, stop):
        for i, sensor in enumerate(script):
            if sensor.sent[n]:
                reading = ("series", sensor.name, "value", repr(float(sensor.values[n])), "ts", time_of(n))
                pipeline.execute_command("XADD", keys_of().readings, f"{time_of(n)}-{i}", *reading)
    pipeline.execute()


def serve(worker: Worker, now_ms: int) -> None:
    """Let the worker answer everything, and look for silent series at that time."""
    while worker.step(now_ms / 1000):
        pass


def time_of(step: int) -> int:
    """Return the time of a step, epoch milliseconds."""
    return BEGIN_MS + STEP_MS * step


def events_in(redis: Redis) -> list[Event]:
    """Return all events of the plant."""
    entries: Any = redis.xrange(keys_of().events)
    return [Event.decode(*entry) for entry in entries]


def judge(script: Sequence[Sensor], events: Iterable[Event]) -> Verdict:
    """Compare the events with the script."""
    alarms = [event for event in events if event.kind in ALARMS and event.facts.get("phase") != "ends"]
    verdict = Verdict(sum(int(sensor.sent.sum()) for sensor in script), {}, {}, [], [])
    for kind in EVENTS:
        verdict.faults[kind] = (0, 0)
        verdict.delays[kind] = []
    for sensor in script:
        own = [(_step_of(event), event) for event in alarms if event.series == sensor.name]
        for fault in sensor.faults:
            if fault.kind in EVENTS:
                _judge_fault(sensor, fault, own, verdict)
        spans = [(fault.first, fault.stop + SETTLING) for fault in sensor.faults]
        verdict.false_alarms.extend(
            event for step, event in own if not any(first <= step <= stop for first, stop in spans)
        )
    return verdict


def _judge_fault(sensor: Sensor, fault: Fault, alarms: Sequence[tuple[float, Event]], verdict: Verdict) -> None:
    latest = {
        "spike": 2,
        "step": 60,
        "drift": fault.stop - fault.first,
        "stuck": 1 + max(LEAST_PAUSE, 3 * sensor.longest_pause),
        "frozen": fault.stop - fault.first,
        "silent": 2,  # the last reading came a step before the first that is missing
    }[fault.kind]
    steps = [step for step, event in alarms if event.kind == EVENTS[fault.kind]]
    delays = [step - fault.first for step in steps if fault.first <= step <= fault.first + latest]
    reported, scripted = verdict.faults[fault.kind]
    verdict.faults[fault.kind] = (reported + bool(delays), scripted + 1)
    if delays:
        verdict.delays[fault.kind].append(delays[0])
    else:
        verdict.missed.append((sensor.name, fault))


def _step_of(event: Event) -> float:
    return (float(event.facts["ts"]) - BEGIN_MS) / STEP_MS
