"""The maps of gates show a cell's values in the order of time."""

import numpy as np

from tests.harness.models import make_model
from tests.harness.oracles.answers import own_inputs
from tidecast.models.lstm_trace import CellTrace, follow
from tidecast.models.spec import Spec
from tidecast.pictures.gates import GATE_MAPS, network_text, sorted_units


def traced(spec: Spec) -> list[CellTrace]:
    """Return the cells of a network over a window of noise."""
    rows = np.random.default_rng(8).normal(20, 2, (spec.window, 1))
    model = make_model("a", spec)
    return list(follow(model, own_inputs(model, rows[None], np.array([spec.window]))))


def test_values_of_a_backward_cell_run_from_the_oldest_reading() -> None:
    """Maps of both directions have the same axis."""
    _, backward = traced(Spec(window=5, units=6, bidirectional=True))
    forget, *_, state = GATE_MAPS
    np.testing.assert_array_equal(backward.gates.forget[::-1], forget.values(backward))
    np.testing.assert_array_equal(backward.cell_state[::-1], state.values(backward))


def test_bounds_of_gates_are_0_and_1_and_those_of_signed_values_their_reach() -> None:
    """Zero is the middle of a signed scale, also if all values are 0."""
    (cell,) = traced(Spec(window=5, units=6))
    reach = float(np.abs(cell.cell_state).max())
    bounds = {gate.name: gate.bounds(gate.values(cell)) for gate in GATE_MAPS}
    assert (0, 1) == bounds["forget"] == bounds["input"] == bounds["output"]
    assert (-reach, reach) == bounds["cell_state"]
    assert (-1, 1) == GATE_MAPS[-1].bounds(np.zeros((2, 2)))


def test_units_are_sorted_by_the_final_cell_state() -> None:
    """With a limit, the units of the largest states stay, positive or negative."""
    (cell,) = traced(Spec(window=5, units=6))
    last = cell.cell_state[-1]
    assert np.argsort(-last).tolist() == sorted_units(cell).tolist()
    kept = sorted_units(cell, 3)
    assert sorted(np.abs(last))[3:] == sorted(np.abs(last[kept]))
    assert sorted(last[kept], reverse=True) == last[kept].tolist()


def test_a_network_is_described_in_words() -> None:
    """Only what it has is named."""
    assert "LSTM, 5 units, window 6, tanh" == network_text(Spec(window=6, units=5))
    deep = Spec(window=6, units=5, layers=2, bidirectional=True, activation="relu")
    assert "bidirectional LSTM, 2 layers of 5, window 6, relu" == network_text(deep)
