"""A version is logged to MLflow. A stand-in takes the calls, and the logged files are loaded as MLflow loads them."""

import importlib
import shutil
import sys
from pathlib import Path
from unittest.mock import MagicMock, call

import numpy as np
import pandas as pd
import pytest

import tidecast
from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast.models.model import Evidence, Scores
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore


def test_a_version_is_a_run_with_its_scores_curves_and_a_model_that_forecasts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The logged model forecasts as the champion does."""
    mlflow = MagicMock()
    mlflow.start_run.return_value.__enter__.return_value.info.run_id = "r1"
    mlflow.pyfunc.log_model.side_effect = lambda data_path, **_: shutil.copytree(data_path, tmp_path / "logged")
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    scores = {"model": Scores(mae=0.5, rmse=0.7), "last_value": Scores(mae=1.0, rmse=1.2, mase=1.1)}
    evidence = Evidence(rows=9, season=None, scores=scores, skill=0.5, verdict="published")
    store = ModelStore(tmp_path / "models")
    store.publish(make_model("a", Spec(window=4, units=3), evidence=evidence, curves={"loss": (0.9, 0.4)}))
    assert 0 == run_command("models", "export", "a", "--mlflow", "--store", str(store.root))
    assert "a is the run r1 of MLflow\n" == capsys.readouterr().out
    mlflow.start_run.assert_called_once_with(run_name="a v1")
    mlflow.set_tags.assert_called_once_with({"series": "a", "version": 1, "verdict": "published"})
    measured = {"skill": 0.5, "model_mae": 0.5, "model_rmse": 0.7}
    measured |= {"last_value_mae": 1.0, "last_value_rmse": 1.2, "last_value_mase": 1.1}
    mlflow.log_metrics.assert_called_once_with(measured)
    assert [call("loss", 0.9, step=1), call("loss", 0.4, step=2)] == mlflow.log_metric.call_args_list
    assert {"window": 4, "units": 3}.items() <= mlflow.log_params.call_args.args[0].items()
    model = mlflow.pyfunc.log_model.call_args.kwargs
    assert [f"tidecast[train]=={tidecast.__version__}"] == model["pip_requirements"]
    loaded = importlib.import_module(model["loader_module"])._load_pyfunc(str(tmp_path / "logged"))
    times = pd.date_range("2026-01-01", periods=40, freq="min")
    frame = pd.DataFrame({"unique_id": "a", "ds": times, "y": np.sin(np.arange(40.0))})
    answers = loaded.predict(frame, params={"h": 2})
    pd.testing.assert_frame_equal(tidecast.forecast(frame, h=2, store=store.root), answers)
    assert 2 == len(answers)


def test_an_export_without_mlflow_or_a_version_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with the remedy."""
    ModelStore(tmp_path).publish(make_model("a"))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for words, sentence in (
        (["a", "--mlflow"], "pip install 'mlflow>=3.16'"),
        (["a"], "add --mlflow"),
        (["b", "--mlflow"], "series 'b' has no version"),
    ):
        assert run_command("models", "export", *words, "--store", str(tmp_path))
        assert sentence in capsys.readouterr().err
