"""Cells followed step by step, against the definition of the whole network."""

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.harness.oracles.answers import own_inputs
from tidecast.models import lstm
from tidecast.models.lstm_trace import follow
from tidecast.models.spec import Spec

SPECS = [Spec(window=6, units=5), Spec(window=6, units=4, layers=3, bidirectional=True, activation="relu")]


@pytest.mark.parametrize("spec", SPECS)
def test_the_last_cells_and_the_output_layer_give_the_forecast(spec: Spec) -> None:
    """Layer by layer, forward before backward, each with all its steps."""
    model = make_model("a", spec)
    prepared = own_inputs(model, np.random.default_rng(0).normal(size=(1, 6, 1)), np.array([6]))
    cells = list(follow(model, prepared))
    hidden = np.concatenate([cell.last_hidden for cell in cells if cell.layer == spec.layers - 1])
    answer = hidden @ model.weights["dense.kernel"] + model.weights["dense.bias"]
    np.testing.assert_allclose(lstm.forward(prepared.x[0], model.weights, spec.activation), answer, rtol=1e-5)
    assert [(i, way) for i in range(spec.layers) for way in spec.directions] == [(c.layer, c.direction) for c in cells]
    assert {(6, spec.units)} == {cell.gates.forget.shape for cell in cells}
