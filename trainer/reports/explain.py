"""Explanation of a model's forecast: its gates and cell state over a real window, as numbers and pictures."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from tidecast.files.history import History
from tidecast.models import lstm
from tidecast.models.experts import EXPERTS
from tidecast.models.lstm_trace import CellTrace
from tidecast.models.store import ModelStore
from tidecast.outputs import check_folder
from tidecast.settings import Settings
from trainer.reports import figures, gate_figures, html_page
from trainer.reports.canvas import Palette
from trainer.reports.gate_figures import Unit
from trainer.reports.html_page import Picture
from trainer.reports.report import FOLDER, SHARES_HEAD, moment, panel, shares
from trainer.reports.review import Review, review
from trainer.reports.target import ReportTarget, Request, requested_history, subject_of
from trainer.reports.trace import Trace, trace

HEAD = ("reading, UTC", "value", "forget", "input", "candidate", "output", "|state|")
WEIGHTS = "What each expert says in the forecast, as shares of one, reading by reading."
NOTE = "Gates are means over the units; |state| is the Euclidean length of the cell state."


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
            "shares": self.review.weights.tolist(),
            "next_shares": self.review.next_weights.tolist(),
        }
        return summary | _trace_dict(self.trace) if self.trace else summary


def _trace_dict(found: Trace) -> dict[str, Any]:
    return {
        "next_ts": found.next_ts,
        "forecast": found.forecast,
        "actual": found.actual,
        "answer": found.answer,
        "cells": [_cell_dict(found, cell) for cell in found.cells],
        "dense": {"kernel": found.kernel.tolist(), "bias": found.bias},
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
    check_folder("--out", out)
    store = ModelStore(settings.store)
    history = requested_history(request, store)
    explanation = explain(request.series, history, settings, store, out, request.version)
    if as_json:
        print(json.dumps(explanation.as_dict(), indent=1))  # noqa: T201 - the answer
    else:
        show(explanation, Console())
    return explanation


def explain(
    series: str, history: History, settings: Settings, store: ModelStore, out: Path, version: int | None = None
) -> Explanation:
    """Review the experts' shares, trace the network over the newest full window of a history, and draw both in `out`.

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
    subject = subject_of(series, history, store, version)
    reviewed = review(subject, settings)
    traced = trace(subject, settings.series.max_gap) if subject.model.header.network else None
    weights = html_page.picture("weights", WEIGHTS, lambda palette: figures.weights(reviewed, palette))
    drawn = _draw(subject, traced) if traced else []
    html = _html(subject, reviewed, weights, traced, drawn)
    path = html_page.write(out, f"{subject.stem}-gates", html, [weights, *drawn])
    return Explanation(subject, traced, reviewed, path)


def lines(found: Trace, cell: CellTrace) -> list[Line]:
    """Return a cell's table, in the order in which the cell reads."""
    means = lstm.Gates(*(gate.mean(axis=1) for gate in cell.gates))
    norms = np.linalg.norm(cell.cell_state, axis=1)
    return [
        Line(
            ts=int(found.ts[row]),
            value=float(found.values[row, 0]),
            forget=float(means.forget[step]),
            input=float(means.input[step]),
            candidate=float(means.candidate[step]),
            output=float(means.output[step]),
            cell_state_norm=float(norms[step]),
        )
        for step, row in enumerate(cell.rows)
    ]


def show(found: Explanation, console: Console) -> None:
    """Print an explanation: the experts' shares, the forecast, a table for each cell, and the path of the pictures."""
    # Series names are data: markup in them is printed as text.
    console.print(found.subject.model.header.series, style="bold", markup=False, highlight=False)
    share_table = Table(*SHARES_HEAD, box=box.SIMPLE_HEAD)
    for row in shares(found.review):
        share_table.add_row(*row)
    console.print(share_table)
    if found.trace:
        _show_gates(found.trace, console)
    console.print(f"The pictures are in {found.path}.", markup=False, highlight=False, soft_wrap=True)


def _show_gates(found: Trace, console: Console) -> None:
    console.print(_outcome(found), markup=False, highlight=False, soft_wrap=True)
    for cell in found.cells:
        table = Table(*HEAD, title=cell.name.capitalize(), title_justify="left", box=box.SIMPLE_HEAD)
        for line in lines(found, cell):
            table.add_row(*line.cells())
        console.print(table)
    console.print(NOTE, style="dim", highlight=False)


def _draw(subject: ReportTarget, found: Trace) -> list[Picture]:
    spec = subject.model.spec
    loudest, unit = found.loudest
    shown = Unit.at(loudest, unit, len(found.ts) - 1)

    def gates_of(cell: CellTrace) -> Callable[[Palette], Figure]:
        return lambda palette: gate_figures.gates(found, cell, spec.target, palette)

    cell_picture = html_page.picture(
        "cell",
        f"Unit {unit + 1} of {loudest.name}, which weighs most in the forecast, at its last step: "
        f"{shown.sentence(spec.activation)}.",
        lambda palette: gate_figures.cell(shown, spec.activation, palette),
    )
    return [
        cell_picture,
        *(html_page.picture(_file_part(cell), _caption(cell), gates_of(cell)) for cell in found.cells),
    ]


def _file_part(cell: CellTrace) -> str:
    return f"layer{cell.layer + 1}-{cell.direction}"


def _caption(cell: CellTrace) -> str:
    turned = ", which read from right to left" if cell.direction == "backward" else ""
    return f"{cell.name.capitalize()}{turned}. Units are sorted by their cell state at the end of the reading."


def _html(subject: ReportTarget, seen: Review, who: Picture, found: Trace | None, drawn: list[Picture]) -> str:
    sections = [html_page.section("Who answers", html_page.figure(who), html_page.table(SHARES_HEAD, shares(seen)))]
    if found:
        cell_picture, *cells = drawn
        sections.append(
            html_page.section(
                "One unit, one step", html_page.paragraph(_outcome(found)), html_page.figure(cell_picture)
            )
        )
        sections += [
            html_page.section(cell.name.capitalize(), html_page.figure(shown), _table(found, cell))
            for cell, shown in zip(found.cells, cells, strict=True)
        ]
    header = subject.model.header
    return html_page.page(
        header.series, html_page.paragraph(f"Version {subject.number}: {panel(header)}", "sub"), *sections
    )


def _table(found: Trace, cell: CellTrace) -> str:
    return html_page.table(HEAD, [line.cells() for line in lines(found, cell)]) + html_page.paragraph(NOTE, "sub")


def _outcome(found: Trace) -> str:
    came = "" if found.actual is None else f"; the reading was {found.actual:.5g}"
    return (
        f"From the {len(found.ts)} readings up to {moment(int(found.ts[-1]))} the network forecasts "
        f"{found.forecast:.5g} for {moment(found.next_ts)}{came}."
    )


def _cell_dict(found: Trace, cell: CellTrace) -> dict[str, Any]:
    steps = [{name: getattr(line, name) for name in Line.__slots__} for line in lines(found, cell)]
    return {
        "layer": cell.layer + 1,
        "direction": cell.direction,
        "steps": steps,
        "last_hidden": cell.last_hidden.tolist(),
    }
