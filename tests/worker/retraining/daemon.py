"""`tidecast retrain --daemon` with a stand-in for the trainer: its argument is the stand-in's program."""

import sys

from tests.worker.retraining.harness import stand_in
from tidecast.settings import load_settings
from worker.retraining.main import run


def main() -> None:
    """Keep the schedule of the environment's settings until SIGTERM."""
    run(load_settings(), stand_in(sys.argv[1]))
