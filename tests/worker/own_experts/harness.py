"""Good and bad experts, and the settings that name them."""

import re
from pathlib import Path

from tidecast.settings import ExpertSettings

EXPERTS_FILE = """
import os, subprocess, sys, threading, time
import numpy as np

class Twice:
    rows = 2
    def fit(self, windows, targets): pass
    def predict(self, windows): return 2 * windows[:, -1, 0]
    def state(self): return b""
    def restore(self, state): self.state_ = state

class Raises(Twice):
    def predict(self, windows): raise ValueError("no answer")

class Hangs(Twice):
    def predict(self, windows): time.sleep(600)

class Nan(Twice):
    def predict(self, windows): return np.full(len(windows), np.nan)

class Hungry(Twice):
    def predict(self, windows):
        kept = []
        while True: kept.append(np.empty(10_000_000))

class Large(Twice):
    def restore(self, state): self.held = np.empty(10_000_000)

class Dies(Twice):
    def predict(self, windows): os._exit(3)

class Lingers(Twice):
    def predict(self, windows):
        threading.Thread(target=time.sleep, args=(600,)).start()
        sys.exit(4)

class Starts(Twice):
    def predict(self, windows): return np.array([float(subprocess.Popen(["sleep", "600"]).pid)])

class Counts(Twice):
    def update(self, window): self.seen = getattr(self, "seen", 0) + 1
    def predict(self, windows): return np.full(len(windows), float(self.seen))

class Imports(Twice):
    def predict(self, windows): return np.array([float(len({"pydantic", "structlog"} & sys.modules.keys()))])

class Prints(Twice):
    def predict(self, windows):
        print("hello", flush=True)
        return super().predict(windows)
"""


def source_settings(file: Path, patience: str) -> ExpertSettings:
    """Return settings that give the series `Twice-1` the expert `Twice` of the file, and so on."""
    names = [*re.findall(r"class (\w+)", EXPERTS_FILE), "Missing"]
    series = tuple({"pattern": f"{name}-*", "source": f"{file}:{name}"} for name in names)
    return ExpertSettings(series=series, timeout=patience, batch_timeout="60s", memory="512MB")
