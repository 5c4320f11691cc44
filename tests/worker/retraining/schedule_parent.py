"""A program that carries on the schedule of partition 0: one of several parents, or one that is killed.

Its arguments are OWNER TTL_S PROGRAM; the settings come from the environment.
"""

import signal
import sys
import threading

from tests.worker.retraining.harness import stand_in
from tidecast.settings import load_settings
from worker.metrics import Health
from worker.retraining.scheduler import Schedule
from worker.retraining.triggers import timing_of


def main() -> None:
    """Run until SIGTERM, then print the modules that were imported."""
    owner, ttl_s, program = sys.argv[1:]
    settings = load_settings()
    stop = threading.Event()
    timing = timing_of(settings.retrain)
    assert timing
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    command = stand_in(program)
    ttl = float(ttl_s)
    with Schedule(lambda: settings, timing, lambda: {0}, owner, Health(), command=command, ttl_s=ttl):
        print("started", flush=True)
        while not stop.wait(0.05):
            pass
    print(*sys.modules, flush=True)
