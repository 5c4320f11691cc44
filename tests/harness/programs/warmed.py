"""All that a worker imports and compiles: imported once by the process that workers are forked from."""

import tidecast.cli.main
import worker.main
import worker.retraining.scheduler
from worker.compiling import warm

__all__ = ["tidecast", "worker"]

warm()
