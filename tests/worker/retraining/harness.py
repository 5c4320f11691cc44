"""Checks that the tests of retraining share."""

import time
from pathlib import Path

from tests.harness.patience import PATIENCE_S


def gone(pid: int, within_s: float = PATIENCE_S) -> bool:
    """Return whether a process ends within a while."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            # A zombie of another parent's is gone too.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False
