"""Known values in the functions that take frames."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tidecast.tools.frames.harness import QUICK
from tidecast.tools.frames import backtest, forecast, train
from tidecast.tools.trained_model import load_model

READINGS = 260


def planned() -> pd.DataFrame:
    """Return hourly readings that follow a plan."""
    rng = np.random.default_rng(3)
    plan = rng.normal(size=READINGS).cumsum()
    ds = pd.date_range("2024-01-01", periods=READINGS, freq="h")
    return pd.DataFrame({"unique_id": "a", "ds": ds, "y": 2 * plan + 0.1 * rng.normal(size=READINGS), "plan": plan})


def error_of(answers: pd.DataFrame) -> float:
    """Return the mean absolute error."""
    return float((answers["y"] - answers["yhat"]).abs().mean())


@pytest.mark.keras
def test_a_backtest_uses_what_was_known_at_each_cutoff() -> None:
    """A plan that is known an hour late does not help; one that is known in time does."""
    frame = planned()
    plan = frame[["unique_id", "ds", "plan"]]
    readings = frame[["unique_id", "ds", "y"]]
    without = error_of(backtest(readings, test_size=0.2, **QUICK))
    known = error_of(backtest(readings, test_size=0.2, future=plan, **QUICK))
    late = plan.assign(known_at=plan["ds"] + pd.Timedelta("1h"))
    assert known < 0.3 * without
    assert without == pytest.approx(error_of(backtest(readings, test_size=0.2, future=late, **QUICK)), rel=0.01)


@pytest.mark.keras
def test_a_champion_forecasts_with_the_future_of_the_frame(tmp_path: Path) -> None:
    """It was trained with the past of the plan, which is a column of the readings."""
    frame = planned()
    past = frame.iloc[:240]
    ahead = frame.iloc[240:250].drop(columns="y")
    run = train(past, store=tmp_path, future=ahead, **QUICK)
    assert ["trained"] == run.verdicts["status"].tolist()
    assert "inputs known ahead: plan" in run.verdicts["reason"][0]
    assert ("plan",) == load_model("a", tmp_path).spec.known
    series = {"series": {"horizon": 1}}
    made = forecast(past, 3, store=tmp_path, future=ahead, features=("none",), **series)
    np.testing.assert_allclose(frame["y"].iloc[240:243], made["yhat"], atol=0.5)
    again = train(past, store=tmp_path, future=ahead, **QUICK)
    assert ["already trained"] == again.verdicts["status"].tolist()
