"""An explanation shows the model's computation, step by step and in the end."""

import json
import re
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.harness.oracles.answers import own_answers, scale_windows
from tests.trainer.reports.harness import (
    ROWS,
    SERIES,
    SIGNATURE,
    SPEC,
    START,
    STEP_MS,
    TAIL,
    folder_bytes,
    make_history,
    make_version,
    one_sheet_bytes,
    sheets,
    write_csv,
)
from tidecast.errors import HistoryError, StoreError
from tidecast.models import lstm
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from trainer.data.source import Source
from trainer.reports import canvas, gate_figures
from trainer.reports.canvas import SHEETS, Sheet
from trainer.reports.explain import Explanation, explain, lines, run, show
from trainer.reports.html_page import picture_path
from trainer.reports.target import ReportTarget, Request
from trainer.reports.trace import Trace, trace
from trainer.reports.unit_figure import Unit, draw_unit

MANY = ("value", "wind", "rain")
SPECS = {
    "simple": SPEC,
    "raw": Spec(window=6, units=5, target_transform="raw"),
    "many features": Spec(window=6, units=5, features=MANY),
    "stacked": Spec(window=6, units=4, layers=3, activation="relu"),
    "bidirectional": Spec(window=6, units=4, bidirectional=True, target_transform="level"),
    "stacked bidirectional": Spec(window=6, units=3, layers=2, bidirectional=True, activation="relu", features=MANY),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def traced(spec: Spec) -> tuple[Model, Trace]:
    """Return a model followed over its newest window."""
    model = make_version(spec, center=(0.2,) * len(spec.features), scale=(1.5,) * len(spec.features))
    return model, trace(ReportTarget(1, model, make_history(features=spec.features)), max_gap=3)


@each_spec
def test_the_last_hidden_states_give_the_models_forecast(spec: Spec) -> None:
    """The output layer over the table's last states gives the model's forecast for the newest window."""
    model, result = traced(spec)
    newest = make_history(features=spec.features).values[-6:]
    np.testing.assert_array_equal(newest, result.values)
    assert result.forecast == pytest.approx(float(own_answers(model, newest[None])[0]), rel=1e-5)
    shown = np.concatenate([cell.last_hidden for cell in result.last_layer])
    assert result.answer == pytest.approx(float(shown @ model.weights["dense.kernel"][:, 0]) + result.bias, rel=1e-5)


@each_spec
def test_every_layer_is_followed_as_the_network_runs_it(spec: Spec) -> None:
    """Hidden states in the order of time equal the layer's output, for each layer and direction."""
    model, result = traced(spec)
    header = model.header
    scaled = scale_windows(result.values, np.array(header.center), np.array(header.scale), spec.target_transform)
    sequence = scaled.astype(np.float32)
    for i, cells in enumerate(lstm.cells_of(model.weights)):
        sequence = lstm.layer(sequence, cells, spec.activation)
        shown = [cell.hidden[np.argsort(cell.rows)] for cell in result.cells if cell.layer == i]
        np.testing.assert_array_equal(sequence, np.concatenate(shown, axis=-1))


@each_spec
def test_the_gates_explain_the_cell_state(spec: Spec) -> None:
    """At every step the state is the kept part plus the written part, and hidden is the part that the output gate
    passes.
    """
    for cell in traced(spec)[1].cells:
        before = np.vstack([np.zeros_like(cell.cell_state[:1]), cell.cell_state[:-1]])
        gates = cell.gates
        np.testing.assert_allclose(gates.forget * before + gates.input * gates.candidate, cell.cell_state, atol=1e-6)
        np.testing.assert_allclose(
            gates.output * lstm.activate(cell.cell_state, spec.activation), cell.hidden, atol=1e-6
        )


def test_a_backward_cell_reads_from_the_newest_reading_to_the_oldest() -> None:
    """Its lines name the readings in the order in which it reads them."""
    _, result = traced(SPECS["bidirectional"])
    forward, backward = (lines(result, cell) for cell in result.cells)
    newest = START + (ROWS - 1) * STEP_MS
    assert [newest - i * STEP_MS for i in range(6)] == [line.ts for line in backward]
    assert [line.value for line in backward][::-1] == [line.value for line in forward]


def test_a_line_holds_means_over_the_units() -> None:
    """Each gate's mean at the step, and the Euclidean length of the cell state."""
    _, result = traced(SPEC)
    (cell,) = result.cells
    line = lines(result, cell)[2]
    for name in ("forget", "input", "candidate", "output"):
        assert getattr(line, name) == pytest.approx(sum(getattr(cell.gates, name)[2]) / 5)
    assert line.cell_state_norm == pytest.approx(np.sqrt(sum(cell.cell_state[2] ** 2)))
    assert line.value == result.values[2, 0]


@each_spec
def test_the_largest_unit_weighs_most(spec: Spec) -> None:
    """No other unit's share in the answer is larger."""
    _, result = traced(spec)
    cell, unit = result.largest_unit
    place = result.last_layer.index(cell) * spec.units + unit
    shares = np.abs(np.concatenate([each.last_hidden for each in result.last_layer]) * result.kernel)
    assert shares.max() == shares[place]


@pytest.mark.parametrize("step", [0, 5])
def test_the_drawn_unit_adds_up(step: int) -> None:
    """The numbers of the picture, and its sentence, are one true update of the cell state."""
    (cell,) = traced(SPEC)[1].cells
    unit = Unit.at(cell, 3, step)
    assert unit.after == pytest.approx(unit.forget * unit.before + unit.input * unit.candidate, abs=1e-6)
    assert unit.hidden == pytest.approx(unit.output * np.tanh(unit.after), abs=1e-6)
    assert (unit.before == 0) == (step == 0)
    assert f"cell state {unit.after:.3f} = forget {unit.forget:.3f} · {unit.before:.3f}" in unit.sentence("tanh")
    shown = [text.get_text() for text in draw_unit(unit, "tanh", SHEETS["dark-narrow"]).axes[0].texts]
    for value in (unit.forget, unit.input, unit.candidate, unit.output):
        assert f"{value:.3f}" in shown


def test_heat_maps_show_the_gates_in_the_order_of_time() -> None:
    """Steps run from left to right also for a cell that read backwards; units are sorted by their last state."""
    _, result = traced(SPECS["bidirectional"])
    cell = result.cells[1]
    figure = gate_figures.gates(result, cell, Sheet())
    drawn = {axis.get_title(loc="left"): axis.images[0].get_array() for axis in figure.axes if axis.images}
    order = np.argsort(-cell.cell_state[-1])
    np.testing.assert_array_equal(cell.gates.forget[::-1][:, order].T, drawn["Forget gate"])
    np.testing.assert_array_equal(cell.cell_state[::-1][:, order].T, drawn["Cell state"])
    assert {"Forget gate", "Input gate", "Candidate", "Output gate", "Cell state"} < {*drawn, "window"}


def test_a_network_of_one_unit_that_is_always_shut_can_be_drawn() -> None:
    """No range, no warning: here a warning is an error."""
    spec = Spec(window=2, units=1, activation="relu")
    model = make_version(spec)
    still = Model(model.header, {name: np.zeros_like(weight) for name, weight in model.weights.items()})
    shut = trace(ReportTarget(1, still, make_history()), max_gap=3)
    assert canvas.png(gate_figures.gates(shut, shut.cells[0], Sheet())).startswith(SIGNATURE)


def test_after_a_gap_the_newest_full_window_is_shown_with_what_came() -> None:
    """The last six readings in a row that have a reading after them."""
    history = make_history()
    model = make_version()
    ts = history.ts.copy()
    ts[-3:] += 50 * STEP_MS
    newest = trace(ReportTarget(1, model, replace(history, ts=ts)), max_gap=3)
    np.testing.assert_array_equal(ts[-10:-4], newest.ts)
    assert history.values[-4, 0] == newest.actual
    assert ts[-4] == newest.next_ts
    assert traced(SPEC)[1].actual is None
    with pytest.raises(HistoryError, match=r"no 6 readings in a row.*longer history"):
        trace(ReportTarget(1, model, make_history(5)), max_gap=3)


def write_explanation(folder: Path) -> tuple[Explanation, str]:
    """Write an explanation of three steps in an empty folder; return it, and the JSON that the command prints."""
    settings = load_settings(store=folder / "models", series={"horizon": 3})
    ModelStore(settings.store).publish(make_version(SPECS["bidirectional"]))
    request = Request(SERIES, Source((str(write_csv(folder / "history.csv", make_history())),)))
    with redirect_stdout(StringIO()) as printed:
        explanation = run(request, settings, folder / "out", as_json=True)
    return explanation, printed.getvalue()


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Explanation, str]:
    """One explanation, for the tests that only read it, and the JSON that the command printed."""
    with sheets("dark-narrow"):
        return write_explanation(tmp_path_factory.mktemp("explain"))


def test_the_same_version_gives_the_same_explanation_again(explained: tuple[Explanation, str], tmp_path: Path) -> None:
    """An explanation draws no random number, so it has no seed."""
    with sheets():
        again, printed = write_explanation(tmp_path)
    assert one_sheet_bytes(explained[0].path.parent) == folder_bytes(again.path.parent)
    assert explained[1].replace(str(explained[0].path), str(again.path)) == printed


def test_an_explanation_has_the_errors_of_all_steps(explained: tuple[Explanation, str]) -> None:
    """They are those of the review, in the JSON and on the page."""
    explanation = explained[0]
    steps = explanation.review.steps
    assert steps is not None
    assert [asdict(score) for score in steps.scores] == json.loads(explained[1])["steps"]
    assert [(1, TAIL), (2, TAIL - 1), (3, TAIL - 2)] == [(score.step, score.readings) for score in steps.scores]
    assert "".join(f"<td>{cell}</td>" for cell in steps.scores[2].cells()) in explanation.path.read_text()
    assert picture_path(explanation.path, "steps").read_bytes().startswith(SIGNATURE)


def test_the_command_prints_json_that_a_reader_can_check(explained: tuple[Explanation, str]) -> None:
    """Hidden states and output layer in the output give the forecast's answer, a line for each step beside them."""
    shown = json.loads(explained[1])
    hidden = np.concatenate([cell["last_hidden"] for cell in shown["cells"]])
    answer = hidden @ shown["dense"]["kernel"] + shown["dense"]["bias"]
    assert answer == pytest.approx(shown["answer"], rel=1e-5)
    assert explained[0].trace.forecast == shown["forecast"]
    assert SERIES == shown["series"]
    assert [(1, "forward", 6), (1, "backward", 6)] == [
        (cell["layer"], cell["direction"], len(cell["steps"])) for cell in shown["cells"]
    ]


def test_the_page_has_a_picture_of_the_cell_and_of_each_layer_and_direction(explained: tuple[Explanation, str]) -> None:
    """With the series' name as text, and pictures beside the page."""
    explanation = explained[0]
    for name in ("cell", "layer1-forward", "layer1-backward"):
        assert picture_path(explanation.path, name).read_bytes().startswith(SIGNATURE)
    html = explanation.path.read_text()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert f"forecasts {explanation.trace.forecast:.5g}" in html
    for line in lines(explanation.trace, explanation.trace.cells[1]):
        assert "".join(f"<td>{cell}</td>" for cell in line.cells()) in html


def test_the_command_prints_a_table(explained: tuple[Explanation, str]) -> None:
    """A line for each step of each cell that fits a narrow terminal, and where the pictures are."""
    console = Console(file=StringIO(), width=80)
    explanation = explained[0]
    show(explanation, console)
    out = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert SERIES in out
    for cell in explanation.trace.cells:
        for line in lines(explanation.trace, cell):
            assert re.search(r"^ *" + r" +".join(map(re.escape, line.cells())) + " *$", out, re.MULTILINE)
    assert "Layer 1, backward" in out
    assert f"The pictures are in {explanation.path}." in out


def test_an_unknown_series_is_a_sentence(store: ModelStore, tmp_path: Path) -> None:
    """There is nothing to explain without a model."""
    with pytest.raises(StoreError, match="has no champion"):
        explain(SERIES, make_history(), load_settings(), store, tmp_path)
