"""A stop flag that a signal handler sets."""

import subprocess
import sys
import threading

from tests.harness.patience import PATIENCE_S
from worker.stop import Stop

SET_WHILE_WAITING = """
import signal, time
from worker.stop import Stop

stop = Stop()
signals = 0

def handle(number, frame):
    global signals
    signals += 1
    stop.set()

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
while signals < 2000:
    stop = Stop()
    stop.wait(1e-6)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_signal_never_meets_a_lock_that_is_held() -> None:
    """Thousands of signals at all moments of waiting: a lock taken by both would hang here within a second."""
    subprocess.run([sys.executable, "-c", SET_WHILE_WAITING], check=True, timeout=PATIENCE_S)


def test_who_waits_is_woken_and_a_stop_that_is_set_stays_set() -> None:
    """The wait ends long before its time, and each later wait ends at once."""
    stop = Stop()
    assert not stop.is_set()
    assert not stop.wait(0.0)
    threading.Timer(0.05, stop.set).start()
    assert stop.wait(600)
    assert stop.is_set()
    assert stop.wait(600)
