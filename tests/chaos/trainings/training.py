"""Trainings on a scheduler of Dask, while its workers, its drivers and the scheduler itself are killed or stopped.

A driver is the command `train`; one that was killed is started again, and so is one that has finished, until all faults
have happened. Each run must give each series exactly one version, and a stopped driver that goes on after another has
finished its run must change nothing.
"""

import json
import os
import random
import signal
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil

from tests.harness.nursery import TRAININGS, Forked
from tests.harness.patience import PATIENCE_S
from tests.trainer.runs.harness import SHORT_TTL_S, DaskCluster, kill
from tidecast.models.store import ModelStore
from trainer.runs import plan

SERIES = 48
READINGS = 140
SHARDS = 8  # of a run of at most so many series
WORKERS = 2
PAUSES_S = (0.5, 4.0)  # shortest and longest time between two faults of a run of a few seconds
PAUSE_FOR_EACH_S = 0.002  # added to the longest for each series, so that the faults fall on all of a long run
BUSY_TTL_S = 15.0  # for shards of the usual size: a worker that trains one is silent for seconds on a busy machine
LOOK_S = 0.05  # between two looks at the processes
ORPHANS_S = 10.0  # after the end no process may live longer
KILL_WORKER, STOP_WORKER, KILL_DRIVER, STOP_DRIVER, KILL_SCHEDULER = (
    "kill worker",
    "stop worker",
    "kill driver",
    "stop driver",
    "kill scheduler",
)


@dataclass(frozen=True, slots=True)
class Load:
    """The work of a run.

    Attributes:
        series: how many.
        readings: of each.
    """

    series: int = SERIES
    readings: int = READINGS

    @property
    def shard(self) -> int:
        """Return the series of a shard."""
        return -(-self.series // SHARDS) if self.series <= SERIES else plan.SERIES

    @property
    def ttl_s(self) -> float:
        """Return how long a worker may be silent before it counts as dead."""
        return SHORT_TTL_S if self.series <= SERIES else BUSY_TTL_S


SHORT = Load()


@dataclass(slots=True)
class TrainingReport:
    """How a run went."""

    faults: dict[str, int]
    runs: int = 0  # whose verdicts a driver has printed
    fenced: int = 0  # stopped drivers that ended by themselves when they went on
    missing: int = 0  # series without a version of some run, or without a verdict
    doubled: int = 0  # series with several versions of a run, or several verdicts
    moved_back: int = 0  # champions that were moved by a former driver, or twice
    orphans: int = 0
    notes: list[str] = field(default_factory=list)

    def violations(self) -> int:
        """Return the number of broken promises."""
        return self.missing + self.doubled + self.moved_back + self.orphans


class Training:
    """A cluster, a history and the drivers that train on it.

    Args:
        folder: an empty one.
        load: the work.
        cluster: the scheduler and its workers.
        report: of the run.
        seed: of the faults.
    """

    def __init__(self, folder: Path, load: Load, cluster: DaskCluster, report: TrainingReport, seed: int) -> None:
        self._folder = folder
        self._load = load
        self._cluster = cluster
        self._report = report
        self._chance = random.Random(seed)
        self._stopped: list[Forked] = []
        self.store = ModelStore(folder / "models")
        _write_history(folder / "history.csv", load)
        self.driver = self._start_driver()

    def run(self, faults: list[str]) -> None:
        """Let all faults happen, and then a run come to its end."""
        while faults:
            self._pause()
            fault = faults.pop()
            self._happen(fault)
            self._report.faults[fault] += 1
        self._finish_run()

    def close(self) -> None:
        """End the drivers."""
        for driver in (self.driver, *self._stopped):
            kill(driver)

    def _pause(self) -> None:
        """Let some time pass; start the driver again if it has finished, and workers that ended with a scheduler."""
        shortest_s, longest_s = PAUSES_S
        longest_s += PAUSE_FOR_EACH_S * (self._load.series - SERIES)
        self._go_on(self._chance.uniform(shortest_s, longest_s))

    def _go_on(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.driver.poll() is not None:
                self._collect()
                self.driver = self._start_driver()
            self._cluster.replace_workers(WORKERS)
            time.sleep(LOOK_S)

    def _happen(self, fault: str) -> None:
        if fault == KILL_WORKER:
            kill(self._chance.choice(self._cluster.workers))
        elif fault == STOP_WORKER:
            self._stop_worker(self._chance.choice(self._cluster.workers))
        elif fault == KILL_SCHEDULER:
            self._cluster.restart_scheduler()
        elif fault == KILL_DRIVER:
            kill(self.driver)
            self.driver = self._start_driver()
        else:
            self._stop_driver()

    def _stop_worker(self, worker: Forked) -> None:
        """Stop a worker until the scheduler has given its shard to another one, and let it go on."""
        worker.send_signal(signal.SIGSTOP)
        self._go_on(2 * self._load.ttl_s)
        worker.send_signal(signal.SIGCONT)

    def _stop_driver(self) -> None:
        """Stop a driver, let another finish its run, and let it go on: it must end, and change nothing."""
        while not (self._folders() - self._former):  # until it has begun
            if self.driver.poll() is not None:
                self._collect()
                self.driver = self._start_driver()
            time.sleep(LOOK_S)
        zombie = self.driver
        zombie.send_signal(signal.SIGSTOP)
        self._stopped.append(zombie)
        self.driver = self._start_driver()
        self._finish_run()
        before = (self.store.root / "moves.log").read_bytes()
        zombie.send_signal(signal.SIGCONT)
        code = zombie.wait(PATIENCE_S)
        self._report.fenced += code != 0
        if before != (self.store.root / "moves.log").read_bytes():
            self._report.moved_back += 1
            self._report.notes.append(f"a stopped driver has moved a champion; it ended with {code}")
        self.driver = self._start_driver()

    def _folders(self) -> set[str]:
        return {folder.name for folder in self.store.root.glob("runs/*/*/driver-*")}

    def _finish_run(self) -> None:
        while self.driver.poll() is None:
            self._cluster.replace_workers(WORKERS)
            time.sleep(LOOK_S)
        self._collect()

    def _start_driver(self) -> Forked:
        self._former = self._folders()
        words = ("train", "history.csv", "--force", "--json", "--scheduler", self._cluster.address)
        shape = ("--window", "6", "--units", "4", "--epochs", "1")
        command = ("tidecast", str(self._load.shard), "verdicts.json", *words, *shape)
        settings = {"TIDECAST_TRAIN__SHARED_EPOCHS": "0", "TIDECAST_STORE": str(self.store.root)}
        log = self._folder / "driver.log"
        return Forked("tests.chaos.driving", command, self._folder, os.environ | settings, log, TRAININGS)

    def _collect(self) -> None:
        """Check the verdicts that a finished driver has printed."""
        if self.driver.returncode:
            log = (self._folder / "driver.log").read_text()[-2000:]
            raise RuntimeError(f"the driver ended with exit code {self.driver.returncode}: {log}")
        names = [verdict["series"] for verdict in json.loads((self._folder / "verdicts.json").read_bytes())]
        self._report.runs += 1
        self._report.missing += self._load.series - len(set(names))
        self._report.doubled += len(names) - len(set(names))


def training_run(folder: Path, faults: dict[str, int], seed: int, load: Load = SHORT) -> TrainingReport:
    """Train while these faults happen, so many of each kind, and check the store.

    Args:
        folder: an empty one.
        faults: the number of each.
        seed: of their order and moments.
        load: the work.
    """
    order = [kind for kind, count in faults.items() for _ in range(count)]
    random.Random(seed).shuffle(order)
    report = TrainingReport(dict.fromkeys(faults, 0))
    with DaskCluster(folder, WORKERS, load.ttl_s) as cluster:
        training = Training(folder, load, cluster, report, seed)
        try:
            training.run(order)
        finally:
            training.close()
    report.orphans = _orphans(folder)
    _check_store(training.store, load.series, report)
    return report


def _orphans(folder: Path) -> int:
    """Return how many processes that were started in this folder are left some seconds later."""
    started = [process for process in psutil.process_iter() if _works_in(process, folder)]
    return len(psutil.wait_procs(started, ORPHANS_S)[1])


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder.resolve())
    except psutil.Error:
        return False


def _check_store(store: ModelStore, series: int, report: TrainingReport) -> None:
    """Check that each run, known by its time, gave each series one version, and that no champion went back."""
    times = {
        name: [store.header(name, number).created_ms for number in store.versions(name)] for name in store.series()
    }
    runs = {time_ms for each in times.values() for time_ms in each}
    report.missing += sum(len(runs - set(each)) for each in times.values()) + (series - len(times)) * len(runs)
    report.doubled += sum(len(each) - len(set(each)) for each in times.values())
    moves: dict[str, list[int]] = {}
    for line in (store.root / "moves.log").read_text().splitlines():
        move = json.loads(line)
        moves.setdefault(move["series"], []).append(move["version"])
    for name, numbers in moves.items():
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            report.moved_back += 1
            report.notes.append(f"{name}: champions {numbers}")


def _write_history(path: Path, load: Load) -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(load.readings)
    rows = ["series,ts,value"]
    for number in range(load.series):
        values = np.sin(steps / 3 + number) + rng.normal(0, 0.1, load.readings)
        rows += [f"s{number},{1_700_000_000 + 3600 * step},{value:.4f}" for step, value in enumerate(values)]
    path.write_text("\n".join(rows))
