"""`python -m benchmarks.harness.mover URL STORE SERIES VERSION SECONDS`: switch every series to another version.

It lowers its priority as a retraining does, which is what switches hundreds of champions in service. It prints `ready`,
waits for a line, and switches one series after the other, evenly over the seconds.
"""

import sys
import time
from pathlib import Path

from tidecast.models.store import ModelStore
from tidecast.tools.sizing.trial_models import name_of
from trainer.retrain.main import step_aside


def main(store: ModelStore, series: int, version: int, seconds: float) -> None:
    """Switch the first `series` series to `version`."""
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
