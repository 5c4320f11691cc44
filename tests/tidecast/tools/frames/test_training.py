"""Trainings of frames, the models that they leave, and forecasts with and without them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tidecast
from tests.tidecast.tools.frames.harness import QUICK, wave
from tidecast.errors import HistoryError, SettingsError, StoreError
from tidecast.tools.frames import TrainingRun, compare, train

SMALL: dict[str, Any] = {"shape": {"units": 3, "window": 6}, "season": 25, "created": "2026-01-01", **QUICK}


def files(store: Path) -> list[bytes]:
    """Return the content of all versions in a store."""
    return [path.read_bytes() for path in sorted(store.rglob("*.safetensors"))]


def own_forest(file: Path) -> dict[str, Any]:
    """Write an own expert that learns from random samples, and return the settings that name it."""
    file.write_text(
        "from sklearn.ensemble import ExtraTreesRegressor\n"
        "from tidecast import SklearnExpert\n"
        "forest = lambda: SklearnExpert(ExtraTreesRegressor(2, max_depth=2), rows=4)\n"
    )
    return {"series": [{"pattern": "*", "source": f"{file}:forest"}]}


@pytest.mark.keras
def test_a_seed_trains_the_same_bytes_again_and_another_trains_others(tmp_path: Path) -> None:
    """A run can be repeated, own experts included. The verdicts of two runs are compared series by series."""
    own = own_forest(tmp_path / "own.py")
    frame = pd.concat([wave("a", 200), wave("b"), wave("short").head(3)], ignore_index=True)
    first, again, other = (
        train(frame, tmp_path / str(i), seed=seed, experts=own, **SMALL) for i, seed in enumerate((5, 5, 6))
    )
    assert 2 == len(files(first.store))
    assert files(first.store) == files(again.store) != files(other.store)
    assert first.models["b"].model.own != other.models["b"].model.own is not None
    pd.testing.assert_frame_equal(first.verdicts, again.verdicts)
    assert ["a", "b", "short"] == first.verdicts["unique_id"].tolist()
    assert {"a", "b"} == set(first.models)
    assert first.models["a"].weights.keys() == first.models["a"].spec.shapes().keys() > first.models["b"].weights.keys()
    both = compare({"five": first, "six": other})
    assert ["unique_id", "five", "six", "best"] == list(both.columns)
    better = np.where(both["five"] <= both["six"], "five", "six")[:2]
    assert [*better, True] == [*both["best"][:2], pd.isna(both["best"][2])]


@pytest.mark.keras
def test_a_champion_forecasts_its_series_and_is_loaded_by_name(tmp_path: Path) -> None:
    """Steps continue the times of the frame; a series without a champion has the untrained experts."""
    run = train(wave("a"), tmp_path, force=True, **SMALL)
    model = tidecast.load_model("a", tmp_path, version=1)
    assert ("a", 1, run.store) == (model.series, model.version, model.store)
    frame = pd.concat([wave("a"), wave("b")], ignore_index=True)
    with_store = tidecast.forecast(frame, 3, tmp_path)
    without = tidecast.forecast(frame, 3)
    expected = pd.date_range("2024-01-06", periods=3, freq="h", tz="UTC").as_unit("ms")
    for answers in (with_store, without):
        assert ["a"] * 3 + ["b"] * 3 == answers["unique_id"].tolist()
        assert [*expected, *expected] == answers["ds"].tolist()
        assert np.isfinite(answers["yhat"]).all()
    assert without["yhat"].tolist()[:3] == without["yhat"].tolist()[3:]
    assert (without["yhat_lower"] < without["yhat_upper"]).all()
    trained = run.verdicts["status"].tolist() == ["trained"]
    assert trained == (with_store["yhat"].tolist()[:3] != without["yhat"].tolist()[:3])


@pytest.mark.keras
def test_a_network_goes_to_keras_and_back_into_the_store(tmp_path: Path) -> None:
    """Further training in Keras moves its answers. The new version in the store answers what Keras does."""
    frame = wave("a", 200)
    run = train(frame, tmp_path, **SMALL)
    model = run.models["a"]
    network = model.to_keras()
    y = frame["y"].to_numpy()
    rows = np.lib.stride_tricks.sliding_window_view(y, model.spec.window)[:-1, :, None]
    before = np.asarray(network(rows))
    network.compile(loss="mae")
    network.optimizer.learning_rate = 0.01
    network.fit(rows, y[model.spec.window :], epochs=1, verbose=0)
    assert np.abs(np.asarray(network(rows)) - before).max() > 1e-3
    tuned = train(frame, tmp_path, networks={"a": model.from_keras(network)}, season=25, created="2026-01-02", **QUICK)
    assert [2] == tuned.verdicts["version"].tolist()
    again = tidecast.load_model("a", tmp_path, 2).to_keras()
    np.testing.assert_allclose(np.asarray(network(rows)), np.asarray(again(rows)), rtol=0, atol=1e-5)
    with pytest.raises(SettingsError, match="'b', which is not in the frame"):
        train(frame, tmp_path, networks={"b": model})
    with pytest.raises(SettingsError, match="reads value, and the frame has y"):
        train(frame, tmp_path, networks={"a": model}, target="y")


def test_without_a_store_the_forecast_goes_on_with_the_wave(tmp_path: Path) -> None:
    """Better than the last value, without any training; a store that does not exist is an error."""
    frame = wave()
    answers = tidecast.forecast(frame.head(108), 12, series={"maximum": 1.05})
    actual = frame["y"].to_numpy()[108:]
    assert np.abs(answers["yhat"] - actual).mean() < 0.5 * np.abs(frame["y"][107] - actual).mean()
    assert (answers["yhat_lower"] < answers["yhat_upper"]).all()
    assert answers["yhat_upper"].max() <= 1.05
    with pytest.raises(StoreError, match="does not exist"):
        tidecast.forecast(frame, store=tmp_path / "none")
    with pytest.raises(HistoryError, match="did you mean 'unique_id'"):
        tidecast.forecast(frame, series_column="unique_ids")
    with pytest.raises(SettingsError, match="seed is an option of a training"):
        tidecast.forecast(frame, seed=1)


def test_runs_on_different_readings_are_not_compared() -> None:
    """Their errors say nothing about each other."""
    verdicts = pd.DataFrame({"unique_id": ["a"], "rows": [10], "mae": [1.0], "mae_last_value": [2.0]})
    run = TrainingRun(verdicts, Path("models"))
    other = replace(run, verdicts=verdicts.assign(mae_last_value=3.0))
    assert ["run_1"] == compare([run, run])["best"].tolist()
    with pytest.raises(SettingsError, match="series 'a' by different readings"):
        compare([run, other])
    with pytest.raises(SettingsError, match="measure is 'mea'"):
        compare([run], "mea")
    with pytest.raises(SettingsError, match="run 'run_1' is of type DataFrame: give a run of `train`"):
        compare([verdicts])  # type: ignore[list-item] # the mistake
    with pytest.raises(SettingsError, match="runs is empty"):
        compare([])
