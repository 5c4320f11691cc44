"""The worker's command with a fault: a reading of one value kills the process."""

import os
import signal

from tidecast.cli import main as cli
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.forecaster import Forecaster

POISON = b"13"

handle = Forecaster.handle


def deadly(self: Forecaster, entries: list[Entry], now_ms: int) -> BatchResult:
    """Die of the poison; handle every other batch as the worker does."""
    if any(fields.get(b"value") == POISON for _, fields in entries):
        os.kill(os.getpid(), signal.SIGKILL)
    return handle(self, entries, now_ms)


def main() -> None:
    """Run the command."""
    Forecaster.handle = deadly  # type: ignore[method-assign] # the fault
    cli.main()
