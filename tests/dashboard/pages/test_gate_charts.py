"""The gates' charts and the text above them."""

from typing import Any

import numpy as np
import pytest

from dashboard.data.gates import Gates
from dashboard.pages import gate_charts
from tests.harness.models import make_model
from tidecast.models.lstm_trace import follow
from tidecast.models.spec import Spec

LAST_TS = 1772334010000


def gates_of(spec: Spec, *, shared: bool = False) -> Gates:
    """Return the gates of a network over a window of noise."""
    rows = np.random.default_rng(8).normal(20, 2, (spec.window, 1))
    model = make_model("a", spec)
    prepared = model.inputs(rows[None], np.array([spec.window]))
    return Gates(3, shared, spec, rows[:, 0], LAST_TS, next(follow(model, prepared)))


def drawn(gates: Gates, name: str) -> dict[str, Any]:
    """Return a map's options with a window in them."""
    options = gate_charts.map_chart(name)
    gate_charts.put_map(options, name, gates)
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


@pytest.mark.parametrize("name", ["forget", "input", "output", "cell_state"])
def test_a_map_has_each_unit_at_each_step(name: str) -> None:
    """By the unit's own number, wherever its row stands."""
    gates = gates_of(Spec(window=5, units=6))
    options = drawn(gates, name)
    values = gates.cell.cell_state if name == "cell_state" else getattr(gates.cell.gates, name)
    due = {(str(step - 5), str(unit + 1)): values[step, unit] for step in range(5) for unit in range(6)}
    assert pytest.approx(due, rel=0.05) == {(step, unit): value for step, unit, value in options["series"][0]["data"]}


def test_rows_are_sorted_by_the_cell_state_at_the_end() -> None:
    """The highest stands on top."""
    gates = gates_of(Spec(window=5, units=6))
    units = [int(unit) - 1 for unit in drawn(gates, "forget")["yAxis"]["data"]]
    last = gates.cell.cell_state[-1, units]
    assert sorted(last.tolist(), reverse=True) == last.tolist()


def test_colours_of_gates_span_0_to_1_and_those_of_the_state_as_far_as_it_goes() -> None:
    """Zero is the middle of the scale for the state, which is not a gate."""
    gates = gates_of(Spec(window=5, units=6))
    reach = float(np.abs(gates.cell.cell_state).max())
    gate, state = (drawn(gates, name)["visualMap"] for name in ("input", "cell_state"))
    assert (0, 1) == (gate["min"], gate["max"])
    assert pytest.approx((-reach, reach)) == (state["min"], state["max"])


def test_of_a_large_network_and_a_long_window_a_part_is_drawn_and_this_is_said() -> None:
    """The newest steps, and the units that remember most."""
    gates = gates_of(Spec(window=100, units=80, layers=2, bidirectional=True))
    options = drawn(gates, "forget")
    shown = [int(unit) - 1 for unit in options["yAxis"]["data"]]
    left = [unit for unit in range(80) if unit not in shown]
    size = np.abs(gates.cell.cell_state[-1])
    assert (64, 32) == (len(options["xAxis"]["data"]), len(shown))
    assert size[shown].min() >= size[left].max()
    sentence = gate_charts.sentence(gates)
    for words in ("the first of 2 layers", "forward direction", "100 readings", "newest 64", "the 32 of them"):
        assert words in sentence


def test_the_sentence_names_version_network_and_time() -> None:
    """Of a network of one layer, its own or its cohort's."""
    sentence = gate_charts.sentence(gates_of(Spec(window=5, units=6)))
    assert sentence.startswith(
        "Version 3: the only layer of the LSTM over the 5 readings up to 2026-03-01 03:00:10 UTC."
    )
    assert "the network that its cohort shares" in gate_charts.sentence(gates_of(Spec(window=5, units=6), shared=True))
