"""All that a worker imports and compiles: imported once by the process that workers are forked from."""

import tidecast.cli.main
import worker.program
import worker.schedule
from worker.compiling import warm

__all__ = ["tidecast", "worker"]

warm()
