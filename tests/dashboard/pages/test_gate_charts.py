"""The gates' charts and the text above them."""

from typing import Any

import numpy as np
import pytest

from dashboard.data.gates import TracedGates
from dashboard.pages import gate_charts
from tests.harness.models import make_model
from tests.harness.oracles.answers import own_inputs
from tidecast.models.lstm_trace import follow
from tidecast.models.spec import Spec
from tidecast.pictures.gates import GATE_MAPS, GateMap

LAST_TS = 1772334010000


def gates_of(spec: Spec, *, shared: bool = False) -> TracedGates:
    """Return the gates of a network over a window of noise."""
    rows = np.random.default_rng(8).normal(20, 2, (spec.window, 1))
    model = make_model("a", spec)
    prepared = own_inputs(model, rows[None], np.array([spec.window]))
    return TracedGates(3, shared, spec, rows[:, 0], LAST_TS, next(follow(model, prepared)))


def drawn(gates: TracedGates, gate: GateMap) -> dict[str, Any]:
    """Return a map's options with a window in them."""
    options = gate_charts.map_chart(gate)
    gate_charts.put_map(options, gate, gates)
    return options


def test_lines_are_the_gates_means_beside_the_readings() -> None:
    """Step by step, the newest last."""
    gates = gates_of(Spec(window=7, units=4))
    options = gate_charts.means_chart()
    gate_charts.put_means(options, gates)
    shown = {series["name"]: series["data"] for series in options["series"]}
    assert ["-7", "-6", "-5", "-4", "-3", "-2", "-1"] == options["xAxis"]["data"]
    assert pytest.approx(gates.values.tolist(), rel=1e-3) == shown["reading"]
    for name in ("forget", "input", "output"):
        due = [sum(step) / 4 for step in getattr(gates.cell.gates, name).tolist()]
        assert pytest.approx(due, rel=1e-3) == shown[name]


@pytest.mark.parametrize("gate", GATE_MAPS, ids=[gate.name for gate in GATE_MAPS])
def test_a_map_has_each_unit_at_each_step(gate: GateMap) -> None:
    """By the unit's own number, wherever its row stands; the scale ends where the values do."""
    gates = gates_of(Spec(window=5, units=6))
    options = drawn(gates, gate)
    values = gate.values(gates.cell)
    due = {(str(step - 5), str(unit + 1)): values[step, unit] for step in range(5) for unit in range(6)}
    assert pytest.approx(due, rel=0.05) == {(step, unit): value for step, unit, value in options["series"][0]["data"]}
    assert gate.bounds(values) == (options["visualMap"]["min"], options["visualMap"]["max"])


def test_of_a_large_network_and_a_long_window_a_part_is_drawn_and_this_is_said() -> None:
    """The newest steps, and the units with the largest states."""
    gates = gates_of(Spec(window=100, units=80, layers=2, bidirectional=True))
    options = drawn(gates, GATE_MAPS[0])
    assert (64, 32) == (len(options["xAxis"]["data"]), len(options["yAxis"]["data"]))
    sentence = gate_charts.sentence(gates)
    for words in ("the first of 2 layers", "reading forward", "100 readings", "newest 64", "the 32 of 80 units"):
        assert words in sentence


def test_the_sentence_names_version_network_and_time() -> None:
    """Of a network of one layer, its own or its cohort's."""
    sentence = gate_charts.sentence(gates_of(Spec(window=5, units=6)))
    assert sentence.startswith("Version 3: the LSTM over the 5 readings up to 2026-03-01 03:00:10 UTC.")
    assert "its cohort's shared network" in gate_charts.sentence(gates_of(Spec(window=5, units=6), shared=True))
