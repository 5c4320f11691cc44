"""The adapters for scikit-learn and ONNX forecast in the unit of the series."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidecast.arrays import Float
from tidecast.own_experts import Expert, OnnxExpert, SklearnExpert
from tidecast.own_experts.answers import answers_of


@pytest.fixture
def windows() -> Float:
    """Return windows of a rising series with a second feature, `(20, 4, 2)`."""
    values = np.stack([np.arange(24.0) * 3, np.cos(np.arange(24))], axis=1)
    return np.lib.stride_tricks.sliding_window_view(values, 4, axis=0)[:20].transpose(0, 2, 1)


def linear_regression() -> Any:
    """Return a regressor; importing scikit-learn takes more than a second, so processes that only collect do not."""
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def network(path: Path) -> Path:
    """Write an ONNX network that returns the mean over rows and features of its input."""
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([node], "mean", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    return path


def test_a_regressor_continues_a_trend_at_a_level_that_it_has_never_seen(windows: Float) -> None:
    """It learns the change from the newest value."""
    expert = SklearnExpert(linear_regression(), rows=4)
    expert.fit(windows, windows[:, -1, 0] + 3)
    far = windows + np.array([1e6, 0])
    np.testing.assert_allclose(far[:, -1, 0] + 3, expert.predict(far))


def test_a_regressor_survives_its_state_and_reads_only_its_lags(windows: Float) -> None:
    """Rows beyond the lags do not matter."""
    expert = SklearnExpert(linear_regression(), rows=4, lags=(0, 1))
    expert.fit(windows, windows[:, -1, 0] + 3)
    again = SklearnExpert(linear_regression(), rows=4, lags=(0, 1))
    again.restore(expert.state())
    other = windows.copy()
    other[:, :2] = 99.0
    np.testing.assert_array_equal(expert.predict(windows), again.predict(other))
    with pytest.raises(ValueError, match="between 0 and 3"):
        SklearnExpert(linear_regression(), rows=4, lags=(4,))


def test_an_onnx_network_reads_raw_windows(tmp_path: Path, windows: Float) -> None:
    """Its state is the file, so that the file may be gone."""
    expert = OnnxExpert(network(tmp_path / "mean.onnx"), rows=4)
    expected = windows.mean(axis=(1, 2))
    np.testing.assert_allclose(expected, expert.predict(windows), rtol=1e-6)
    expert.restore(expert.state())
    np.testing.assert_allclose(expected, expert.predict(windows), rtol=1e-6)


def test_an_onnx_network_reads_scaled_windows(tmp_path: Path, windows: Float) -> None:
    """Its answer is a change in spreads of the target."""
    expert = OnnxExpert(network(tmp_path / "mean.onnx"), rows=4, scaled=True)
    spread = windows.std(axis=1, keepdims=True)
    change = ((windows - windows[:, -1:]) / spread).mean(axis=(1, 2))
    np.testing.assert_allclose(windows[:, -1, 0] + change * spread[:, 0, 0], expert.predict(windows), rtol=1e-5)


@pytest.mark.parametrize(("answers", "reason"), [([1.0], "shape"), ([np.nan] * 20, "NaN")])
def test_answers_that_are_no_forecasts_are_refused(windows: Float, answers: list[float], reason: str) -> None:
    """A wrong shape would shift forecasts from one reading to another."""

    class Wrong(SklearnExpert):
        def predict(self, windows: Float) -> Float:  # noqa: ARG002 - the protocol's
            return np.array(answers)

    expert: Expert = Wrong(linear_regression(), rows=4)
    with pytest.raises(ValueError, match=reason):
        answers_of(expert, windows)
