"""Explanation of a model's forecast: its gates and cell state over a real window, as numbers and pictures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from tidecast.files.history import History
from tidecast.log import begin_log
from tidecast.models import lstm
from tidecast.models.experts import EXPERTS
from tidecast.models.lstm_trace import CellTrace
from tidecast.models.step_scores import COLUMNS as STEP_COLUMNS
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder
from tidecast.pictures.gates import ORDER
from tidecast.settings import Settings
from trainer.reports import figures, gate_figures, html_page
from trainer.reports.canvas import Sheet
from trainer.reports.html_page import Picture
from trainer.reports.report import (
    FOLDER,
    WEIGHTS_HEAD,
    moment,
    next_rows,
    panel,
    steps_picture,
    steps_section,
    weight_rows,
)
from trainer.reports.review import Review, review
from trainer.reports.steps import NEXT_HEAD
from trainer.reports.target import ReportTarget, Request, load_target, requested_history
from trainer.reports.trace import Trace, trace
from trainer.reports.unit_figure import Unit, draw_unit

HEAD = ("reading, UTC", "value", "forget", "input", "candidate", "output", "|state|")
WEIGHTS = "The weight of each expert in the forecast, reading by reading. Times are UTC."
NOTE = "The gates are means over the units; |state| is the Euclidean length of the cell state."


@dataclass(frozen=True, slots=True)
class Explanation:
    """A version traced over one window, and the page that shows it."""

    subject: ReportTarget
    trace: Trace | None  # None: the version has no network of its own
    review: Review
    path: Path

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as a dict for JSON; the last hidden states and output layer give the forecast."""
        summary = {
            "series": self.subject.model.header.series,
            "version": self.subject.number,
            "page": str(self.path),
            "experts": list(EXPERTS),
            "ts": self.review.ts.tolist(),
            "weights": self.review.weights.tolist(),
            "next_weights": self.review.next_weights.tolist(),
        }
        if steps := self.review.steps:
            summary["steps"] = [asdict(score) for score in steps.scores]
            summary["ahead"] = [asdict(step) for step in steps.ahead]
        return summary | _trace_dict(self.trace) if self.trace else summary


def _trace_dict(traced: Trace) -> dict[str, Any]:
    return {
        "next_ts": traced.next_ts,
        "forecast": traced.forecast,
        "actual": traced.actual,
        "answer": traced.answer,
        "cells": [_cell_dict(traced, cell) for cell in traced.cells],
        "dense": {"kernel": traced.kernel.tolist(), "bias": traced.bias},
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a cell in the table: each gate's mean over the units, and the length of the cell state."""

    ts: int  # of the reading at this step
    value: float  # of the target, in the series' unit
    forget: float
    input: float
    candidate: float
    output: float
    cell_state_norm: float

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells as text."""
        gates = (self.forget, self.input, self.candidate, self.output, self.cell_state_norm)
        return moment(self.ts).removesuffix(" UTC"), f"{self.value:.4g}", *(f"{gate:.3f}" for gate in gates)


def run(request: Request, settings: Settings, out: Path = FOLDER, *, as_json: bool = False) -> Explanation:
    """Explain a version of a series' model over the newest window in files, and print the explanation.

    Raises:
        SettingsError: the folder cannot be written to.
        StoreError: the series has no such version.
        HistoryError: a file cannot be read, or does not fit the model.
    """
    begin_log(settings.log_level, settings.log_format)
    check_folder("--out", out)
    store = ModelStore(settings.store)
    history = requested_history(request, settings, store)
    explanation = explain(request.series, history, settings, store, out, request.version)
    if as_json:
        print(json.dumps(explanation.as_dict(), indent=1))  # noqa: T201 - the answer
    else:
        show(explanation, Console())
    return explanation


def explain(
    series: str, history: History, settings: Settings, store: ModelStore, out: Path, version: int | None = None
) -> Explanation:
    """Draw the experts' weights, and the network's gates over the newest full window of a history, in `out`.

    Args:
        series: the series of the model; the page is named after its SHA-256 and the version.
        history: the readings that hold the window.
        settings: which gaps to fill.
        store: where the version is.
        out: created if it is missing.
        version: None: the champion.

    Raises:
        SettingsError: the folder cannot be written to.
        StoreError: the series has no such version.
        HistoryError: the history lacks a feature that the model reads, or has no full window.
    """
    check_folder("out", out)
    subject = load_target(series, history, store, version)
    reviewed = review(subject, settings)
    traced = trace(subject, settings.series.max_gap) if subject.model.header.network else None
    weights = html_page.picture("weights", WEIGHTS, lambda sheet: figures.weights(reviewed, sheet))
    drawn = steps_picture(reviewed, subject.model.spec.target)
    steps = html_page.picture("steps", *drawn) if drawn else None
    pictures = [weights, *(_pictures(subject, traced) if traced else [])]
    html = _html(subject, reviewed, traced, pictures, steps)
    path = html_page.write(out, f"{subject.stem}-gates", html, pictures + ([steps] if steps else []))
    return Explanation(subject, traced, reviewed, path)


def lines(traced: Trace, cell: CellTrace) -> list[Line]:
    """Return a cell's table, in the order in which the cell reads."""
    means = lstm.Gates(*(gate.mean(axis=1) for gate in cell.gates))
    norms = np.linalg.norm(cell.cell_state, axis=1)
    return [
        Line(
            ts=int(traced.ts[row]),
            value=float(traced.values[row, 0]),
            forget=float(means.forget[step]),
            input=float(means.input[step]),
            candidate=float(means.candidate[step]),
            output=float(means.output[step]),
            cell_state_norm=float(norms[step]),
        )
        for step, row in enumerate(cell.rows)
    ]


def show(explanation: Explanation, console: Console) -> None:
    """Print an explanation: the experts' weights, the forecast, a table for each cell, and the page's path."""
    # Series names are data: markup in them is printed as text.
    console.print(explanation.subject.model.header.series, style="bold", markup=False, highlight=False)
    _show_table(WEIGHTS_HEAD, weight_rows(explanation.review), console)
    if steps := explanation.review.steps:
        _show_table(STEP_COLUMNS, [score.cells() for score in steps.scores], console)
        _show_table(NEXT_HEAD, next_rows(steps), console)
    if explanation.trace:
        _show_gates(explanation.trace, console)
    console.print(f"The pictures are in {explanation.path}.", markup=False, highlight=False, soft_wrap=True)


def _show_table(head: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table(*head, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _show_gates(traced: Trace, console: Console) -> None:
    console.print(_forecast_text(traced), markup=False, highlight=False, soft_wrap=True)
    for cell in traced.cells:
        table = Table(*HEAD, title=cell.name.capitalize(), title_justify="left", box=box.SIMPLE_HEAD)
        for line in lines(traced, cell):
            table.add_row(*line.cells())
        console.print(table)
    console.print(NOTE, style="dim", highlight=False)


def _pictures(subject: ReportTarget, traced: Trace) -> list[Picture]:
    """Draw the unit with the largest part in the forecast, and then each cell."""
    spec = subject.model.spec
    cell, i = traced.largest_unit
    unit = Unit.at(cell, i, len(traced.ts) - 1)

    def gates_of(cell: CellTrace) -> Callable[[Sheet], Figure]:
        return lambda sheet: gate_figures.gates(traced, cell, sheet)

    return [
        html_page.picture(
            "cell",
            f"Unit {i + 1} of {cell.name}, which has the largest part in the forecast, at its last step: "
            f"{unit.sentence(spec.activation)}.",
            lambda sheet: draw_unit(unit, spec.activation, sheet),
        ),
        *(html_page.picture(_file_part(cell), _caption(cell), gates_of(cell)) for cell in traced.cells),
    ]


def _file_part(cell: CellTrace) -> str:
    return f"layer{cell.layer + 1}-{cell.direction}"


def _caption(cell: CellTrace) -> str:
    backward = "; it reads from right to left" if cell.direction == "backward" else ""
    return f"{cell.name.capitalize()}{backward}. {ORDER}"


def _html(
    subject: ReportTarget, reviewed: Review, traced: Trace | None, pictures: list[Picture], steps: Picture | None
) -> str:
    weights, *others = (html_page.figure(picture) for picture in pictures)
    sections = [html_page.section("Who answers", weights, html_page.table(WEIGHTS_HEAD, weight_rows(reviewed)))]
    sections.append(steps_section(reviewed.steps, html_page.figure(steps) if steps else ""))
    if traced:
        unit, *cells = others
        sections.append(html_page.section("One unit, one step", html_page.paragraph(_forecast_text(traced)), unit))
        sections += [
            html_page.section(cell.name.capitalize(), picture, _table(traced, cell))
            for cell, picture in zip(traced.cells, cells, strict=True)
        ]
    header = subject.model.header
    version = html_page.paragraph(f"Version {subject.number}: {panel(header)}", "sub")
    return html_page.page(header.series, version, *sections)


def _table(traced: Trace, cell: CellTrace) -> str:
    return html_page.table(HEAD, [line.cells() for line in lines(traced, cell)]) + html_page.paragraph(NOTE, "sub")


def _forecast_text(traced: Trace) -> str:
    actual = "" if traced.actual is None else f"; the reading was {traced.actual:.5g}"
    return (
        f"From the {len(traced.ts)} readings up to {moment(int(traced.ts[-1]))} the network forecasts "
        f"{traced.forecast:.5g} for {moment(traced.next_ts)}{actual}."
    )


def _cell_dict(traced: Trace, cell: CellTrace) -> dict[str, Any]:
    steps = [{name: getattr(line, name) for name in Line.__slots__} for line in lines(traced, cell)]
    return {
        "layer": cell.layer + 1,
        "direction": cell.direction,
        "steps": steps,
        "last_hidden": cell.last_hidden.tolist(),
    }
