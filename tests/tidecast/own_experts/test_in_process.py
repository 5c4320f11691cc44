"""Own experts outside a worker: only named code runs, and failures are logged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from tests.harness.models import make_model, network_alone
from tidecast.files.readings import Row
from tidecast.models.experts import OWN
from tidecast.models.own_model import OwnModel
from tidecast.models.store import ModelStore
from tidecast.online.own_experts import OwnCall
from tidecast.own_experts.apart import forecasts_apart
from tidecast.own_experts.in_process import InProcess
from tidecast.settings import ExpertSettings, load_settings
from tidecast.tools.replay import ReplayCounts, forecasts_of

CODE = """
class Twice:
    rows = 2
    def fit(self, windows, targets): pass
    def predict(self, windows): return 2 * windows[:, -1, 0]
    def state(self): return b""
    def restore(self, state): pass

class Raises(Twice):
    def predict(self, windows): raise ValueError("no answer")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with a good and a bad expert."""
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def call(source: str) -> OwnCall:
    """Return a call with one window."""
    return OwnCall("a", 1, OwnModel(source, 2, b""), np.array([[[1.0], [2.0]]]))


@pytest.mark.parametrize(("name", "reason"), [("Raises", "ValueError: no answer"), ("Absent", "no class or function")])
def test_a_failure_is_logged_once_and_has_no_forecast(file: Path, name: str, reason: str) -> None:
    """A backtest goes on with the other experts, and its user sees why."""
    source = f"{file}:{name}"
    runner = InProcess(ExpertSettings(series=({"source": source},)))
    with capture_logs() as lines:
        for _ in range(3):
            (forecasts,), failures = runner.forecast([call(source)])
            assert np.isnan(forecasts).all()
            assert reason in failures[0].reason
    assert [reason in line["reason"] for line in lines] == [True]


def test_code_that_the_settings_do_not_name_is_not_run(file: Path) -> None:
    """Neither another source nor one without settings."""
    for series in ((), ({"source": f"{file}:Raises"},), ({"pattern": "b*", "source": f"{file}:Twice"},)):
        (forecasts,), failures = InProcess(ExpertSettings(series=series)).forecast([call(f"{file}:Twice")])
        assert np.isnan(forecasts).all()
        assert "which the settings do not name" in failures[0].reason


@pytest.mark.parametrize(
    ("name", "timeout_s", "reason"),
    [("Twice", 60, ""), ("Raises", 60, "ValueError: no answer"), ("Twice", 0.001, "longer than 0.001 s")],
)
def test_a_call_apart_ends_with_its_process(file: Path, name: str, timeout_s: float, reason: str) -> None:
    """A page of the dashboard goes on without an expert that fails or hangs."""
    source = f"{file}:{name}"
    with capture_logs() as lines:
        forecasts = forecasts_apart(ExpertSettings(series=({"source": source},)), call(source), timeout_s)
    assert reason in (lines[0]["reason"] if lines else "")
    assert (None if reason else [4.0]) == (None if forecasts is None else forecasts.tolist())


def test_a_replay_has_the_forecasts_of_own_experts(file: Path, tmp_path: Path) -> None:
    """As a worker would make them."""
    panel = network_alone()
    panel.errors[:, OWN] = 0.001
    source = f"{file}:Twice"
    settings = load_settings(store=tmp_path / "models", experts={"series": [{"source": source}]})
    model = make_model("a", panel=panel, half_width=1e6, span=(0, 1))
    ModelStore(settings.store).publish(replace(model, own=OwnModel(source, 2, b"")))
    rows = [Row("a", 1_700_000_000_000 + 1000 * i, {"value": float(i % 5)}) for i in range(8)]
    made = [forecast for batch in forecasts_of(rows, settings, ReplayCounts()) for forecast in batch]
    assert made[1].kind == "own"
    assert abs(made[1].yhat - 2.0) < 0.1
