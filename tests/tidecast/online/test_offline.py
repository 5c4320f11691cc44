"""Windows of a history, answered at once by the worker's loops."""

import numpy as np
import pytest

from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.oracles.answers import model_answers
from tidecast.models.experts import LSTM, PRETRAINED
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.offline import expert_forecasts

RICH = Spec(window=5, units=3, normalise=True, seasonal=2, residual=True, hidden=4)
NOWHERE = np.zeros(20, np.int64)  # times, for networks that read no calendar


def test_a_forecast_of_no_change_is_the_last_value() -> None:
    """A network with weights of zero that learns changes repeats the last value."""
    model = make_model("a")
    zero = Model(model.header, {name: np.zeros_like(w) for name, w in model.weights.items()})
    rows = np.array([[[1.0]] * 5 + [[3.0]], [[2.0]] * 5 + [[9.0]]])
    assert [3.0, 9.0] == expert_forecasts(zero, None, rows, np.array([6, 6]), NOWHERE[:2])[:, LSTM].tolist()


def test_every_expert_forecasts_as_its_definition() -> None:
    """The linear experts, the network and the cohort's; an expert with too few rows has no forecast."""
    model = make_model("a", RICH, panel=random_panel(1), seasons=(9, 7), change_scale=2.5)
    network = make_shared("hourly")
    count = model.rows_with(network)
    rows = np.random.default_rng(0).normal(20, 4, size=(2, count, 1))
    held = np.array([count, 4])
    forecasts = expert_forecasts(model, network, rows, held, NOWHERE[:2])
    np.testing.assert_allclose(forecasts, model_answers(model, rows, held, network), atol=1e-5)
    assert np.isfinite(forecasts[0, LSTM:PRETRAINED]).all()
    assert np.isnan(forecasts[1, LSTM:]).all()
    assert (5 + 9 - 1, max(13, model.panel.rows)) == (model.network_rows, count)


@pytest.mark.parametrize("spoiled", [1e9, np.nan])
def test_rows_that_are_not_real_change_no_forecast(spoiled: float) -> None:
    """The rows before a series' history may hold any values."""
    model = make_model("a", RICH, panel=random_panel(1), seasons=(9, 7))
    network = make_shared("hourly")
    rows = np.random.default_rng(0).normal(20, 4, size=(20, 20, 1))
    held = np.arange(1, 21)
    other = np.where(np.arange(20) < 20 - held[:, None], spoiled, rows[..., 0])[..., None]
    before, after = (expert_forecasts(model, network, each, held, NOWHERE) for each in (rows, other))
    np.testing.assert_array_equal(before, after)
