"""`python -m benchmarks.harness.mover URL STORE SERIES VERSION SECONDS`: lets another version of every series answer.

Steps aside as a retraining does, which is what moves champions by the hundred. Says `ready`, waits for a line, and
moves one after the other, evenly over the seconds.
"""

import sys
import time
from pathlib import Path

from benchmarks.harness.readings import name_of
from tidecast.models.store import ModelStore
from trainer.retrain.main import step_aside


def main(store: ModelStore, series: int, version: int, seconds: float) -> None:
    """Move the champions of the first `series` to `version`."""
    step_aside()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for number in range(series):
        time.sleep(max(0.0, began + seconds * number / series - time.monotonic()))
        store.promote(name_of(number), version)


if __name__ == "__main__":
    _, folder, count, to, during = sys.argv[1:]
    main(ModelStore(Path(folder)), int(count), int(to), float(during))
