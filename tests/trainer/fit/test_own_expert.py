"""Own experts that cannot be used are left out before a model is published, with the reason."""

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from tidecast.models.time_grid import Grid, to_grid
from trainer.fit.own_expert import OwnExpertError, fit_own, report_left_out

CODE = """
class Mean:
    rows = 3
    def __init__(self): self.mean = b""
    def fit(self, windows, targets): self.mean = repr(float(targets.mean())).encode()
    def predict(self, windows): return windows[:, -1, 0] * 0 + float(self.mean)
    def state(self): return self.mean
    def restore(self, state): self.mean = state

class FailsToFit(Mean):
    def fit(self, windows, targets): raise ValueError("too hot")

class Exits(Mean):
    def fit(self, windows, targets): raise SystemExit(3)

class FailsToPredict(Mean):
    def predict(self, windows): raise RuntimeError("no answer")

class PredictsNothing(Mean):
    def predict(self, windows): return windows[:, -1, 0] * float("nan")

class PredictsColumns(Mean):
    def predict(self, windows): return windows[:, -1]

class StateIsText(Mean):
    def state(self): return "5.0"

class FailsToRestore(Mean):
    def restore(self, state): raise KeyError("weights")

def exits_at_once(): raise SystemExit("no licence")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with a good expert and bad ones."""
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def grid() -> Grid:
    """Return forty hours of two."""
    return to_grid(np.arange(40) * 3_600_000, np.full((40, 1), 2.0), 3_600_000, 3, gridded=True)


def test_a_good_expert_is_kept_as_bytes(file: Path, grid: Grid) -> None:
    """Its state is what it has learned."""
    assert fit_own(f"{file}:Mean", grid, 30, 0).state == b"2.0"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("FailsToFit", "it failed with ValueError: too hot"),
        ("Exits", "it failed with SystemExit: 3"),
        ("FailsToPredict", "it failed with RuntimeError: no answer"),
        ("PredictsNothing", "predict returned NaN or infinity"),
        ("PredictsColumns", r"predict returned the shape \(8, 1\), not \(8,\)"),
        ("StateIsText", "state\\(\\) returned str: return bytes"),
        ("FailsToRestore", "it failed with KeyError: 'weights'"),
        ("exits_at_once", "cannot be made: SystemExit: no licence"),
    ],
)
def test_an_expert_that_no_worker_could_use_is_left_out(file: Path, grid: Grid, name: str, reason: str) -> None:
    """A worker would call it for each reading in vain, and one that ends the process would end the whole training."""
    with pytest.raises(OwnExpertError, match=f"^own expert left out: .*{reason}"):
        fit_own(f"{file}:{name}", grid, 30, 0)


def test_each_reason_is_logged_once() -> None:
    """A backtest has no verdicts, and a thousand series may have the same expert."""
    with capture_logs() as lines:
        for series in "abc":
            report_left_out(series, "own expert left out: by this test")
    assert [line["series"] for line in lines] == ["a"]
