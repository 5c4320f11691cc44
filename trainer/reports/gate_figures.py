"""Pictures of an LSTM cell: its gates over a window as heat maps, and one unit at one step with its numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from tidecast.models.lstm import Activation, Array
from tidecast.models.lstm_trace import CellTrace
from trainer.reports import canvas
from trainer.reports.canvas import Palette
from trainer.reports.trace import Trace

TIMES, SIGMOID = "\N{MULTIPLICATION SIGN}", "sigmoid"


def gates(trace: Trace, cell: CellTrace, target: str, palette: Palette) -> Figure:
    """Draw a cell's gates and state over the window, steps across and units down.

    Units are sorted by their final cell state, so that similar units are adjacent.
    """
    figure = canvas.new_figure(palette, 6.6)
    axes = figure.subplot_mosaic([["window", "cell_state"], ["forget", "input"], ["candidate", "output"]])
    _window(axes["window"], trace, target, palette)
    order = np.argsort(-cell.cell_state[-1])
    heats = {
        "cell_state": ("Cell state", cell.cell_state),
        "forget": ("Forget gate", cell.gates.forget),
        "input": ("Input gate", cell.gates.input),
        "candidate": ("Candidate", cell.gates.candidate),
        "output": ("Output gate", cell.gates.output),
    }
    for name, (title, values) in heats.items():
        _heat(figure, axes[name], values[:, order], cell, title, palette, signed=name in ("cell_state", "candidate"))
    for name in ("candidate", "output"):
        canvas.label(axes[name], palette, x="readings before the forecast")
    for name in ("forget", "candidate"):
        canvas.label(axes[name], palette, x=axes[name].get_xlabel(), y="unit")
    return figure


def _window(axis: Any, trace: Trace, target: str, palette: Palette) -> None:
    canvas.dress(axis, palette, f"Window of {canvas.drawable(target)}; forecast {trace.forecast:.4g}")
    axis.plot(np.arange(-len(trace.ts), 0), trace.values[:, 0], color=palette.reading, lw=1.3, marker=".", ms=4)
    axis.plot([0], [trace.forecast], "o", color=palette.forecast, ms=6)
    axis.set_xlim(-len(trace.ts) - 0.5, 0.8)


def _heat(
    figure: Figure, axis: Any, values: Array, cell: CellTrace, title: str, palette: Palette, *, signed: bool
) -> None:
    canvas.dress(axis, palette, title)
    axis.grid(visible=False)
    in_time = values[np.argsort(cell.rows)]  # (steps, units), oldest row first, whichever way the cell read
    reach = float(np.abs(values).max()) or 1.0
    steps, units = in_time.shape
    image = axis.imshow(
        in_time.T,
        aspect="auto",
        interpolation="nearest",
        cmap=palette.signed if signed else palette.gate,
        vmin=-reach if signed else 0.0,
        vmax=reach if signed else 1.0,
        extent=(-steps - 0.5, -0.5, units + 0.5, 0.5),
    )
    canvas.whole_numbers(axis.yaxis)
    bar = figure.colorbar(image, ax=axis, pad=0.02, aspect=18)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=palette.muted, labelsize=canvas.SMALL - 1, length=0)


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of a cell at one step, with every number in the update of its state."""

    forget: float
    input: float
    candidate: float
    output: float
    before: float  # cell state
    after: float
    hidden: float

    @classmethod
    def at(cls, cell: CellTrace, unit: int, step: int) -> "Unit":
        """Return a unit's numbers at a step, counted in the order in which the cell reads."""
        gates = cell.gates
        return cls(
            forget=float(gates.forget[step, unit]),
            input=float(gates.input[step, unit]),
            candidate=float(gates.candidate[step, unit]),
            output=float(gates.output[step, unit]),
            before=float(cell.cell_state[step - 1, unit]) if step else 0.0,
            after=float(cell.cell_state[step, unit]),
            hidden=float(cell.hidden[step, unit]),
        )

    def sentence(self, activation: Activation) -> str:
        """Return the update as sums that can be checked by hand."""
        return (
            f"cell state {self.after:.3f} = forget {self.forget:.3f} · {self.before:.3f} + input {self.input:.3f} · "
            f"candidate {self.candidate:.3f}; hidden {self.hidden:.3f} = output {self.output:.3f} · "
            f"{activation}({self.after:.3f})"
        )


def cell(unit: Unit, activation: Activation, palette: Palette) -> Figure:
    """Draw an LSTM cell: the cell state runs along the top, and four gates change it."""
    figure = canvas.new_figure(palette, 4.4)
    axis = figure.subplots()
    axis.set(xlim=(0, 100), ylim=(0, 62), aspect="equal")
    axis.axis("off")
    pen = _Pen(axis, palette)
    pen.frame(12, 11, 76, 47)
    _memory(pen, unit)
    _gate(pen, 24, "forget", SIGMOID, unit.forget)
    _gate(pen, 41, "input", SIGMOID, unit.input)
    _gate(pen, 55, "candidate", activation, unit.candidate)
    _gate(pen, 72, "output", SIGMOID, unit.output)
    _paths(pen, unit, activation)
    return figure


MEMORY, READ, GATES, MEET = (
    50.0,
    6.0,
    25.0,
    36.0,
)  # heights: the cell state, the input line, the gates, the product of input gate and candidate


def _memory(pen: "_Pen", unit: Unit) -> None:
    pen.arrow((4, MEMORY), (22, MEMORY))
    pen.arrow((26, MEMORY), (46, MEMORY))
    pen.arrow((50, MEMORY), (97, MEMORY))
    pen.operation(24, MEMORY, TIMES)
    pen.operation(48, MEMORY, "+")
    pen.text(2, MEMORY + 4, f"cell state\n{unit.before:.3f}", ha="left", va="bottom")
    pen.text(98, MEMORY + 4, f"cell state\n{unit.after:.3f}", ha="right", va="bottom")
    pen.text(35, MEMORY + 1.5, f"kept {unit.forget * unit.before:.3f}", va="bottom", muted=True)


def _gate(pen: "_Pen", x: float, name: str, squash: str, value: float) -> None:
    pen.box(x, GATES, squash)
    pen.arrow((x, READ), (x, GATES - 3))
    # Two texts: in one text the tallest letter would shift the baselines.
    pen.text(x, GATES - 7.2, name, va="baseline", backed=True)
    pen.text(x, GATES - 9.7, f"{value:.3f}", va="baseline", backed=True)


def _paths(pen: "_Pen", unit: Unit, activation: Activation) -> None:
    pen.line((4, READ), (72, READ))
    pen.text(2, READ - 1.6, "new row and last hidden state", ha="left", va="top", muted=True)
    pen.arrow((24, GATES + 3), (24, MEMORY - 2))
    pen.line((41, GATES + 3), (41, MEET))
    pen.arrow((41, MEET), (46, MEET))
    pen.line((55, GATES + 3), (55, MEET))
    pen.arrow((55, MEET), (50, MEET))
    pen.operation(48, MEET, TIMES)
    pen.arrow((48, MEET + 2), (48, MEMORY - 2))
    pen.text(49.5, 43, f"written {unit.input * unit.candidate:.3f}", ha="left", muted=True)
    pen.line((80, MEMORY), (80, 45.5))
    pen.box(80, 42.5, activation)
    pen.arrow((80, 39.5), (80, 35))
    pen.line((72, GATES + 3), (72, 33))
    pen.arrow((72, 33), (78, 33))
    pen.operation(80, 33, TIMES)
    pen.line((80, 31), (80, READ))
    pen.arrow((80, READ), (97, READ))
    pen.text(98, READ + 2, f"hidden\n{unit.hidden:.3f}", ha="right", va="bottom")


class _Pen:
    """Drawing tools for one axis in one palette; lengths are in hundredths of the width."""

    def __init__(self, axis: Any, palette: Palette) -> None:
        self.axis = axis
        self.palette = palette

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """Draw the cell's outline."""
        style = "round,pad=0,rounding_size=3"
        self.axis.add_patch(FancyBboxPatch((x, y), width, height, style, fc="none", ec=self.palette.line, lw=1.4))

    def box(self, x: float, y: float, text: str) -> None:
        """Draw a layer of weights with its activation function, centred."""
        patch = FancyBboxPatch(
            (x - 4.5, y - 3), 9, 6, "round,pad=0,rounding_size=1", fc=self.palette.interval, ec="none"
        )
        self.axis.add_patch(patch)
        self.axis.text(x, y, text, ha="center", va="center", fontsize=10, color=self.palette.paper)

    def operation(self, x: float, y: float, sign: str) -> None:
        """Draw an arithmetic operation on two numbers."""
        self.axis.add_patch(Circle((x, y), 2, fc=self.palette.forecast, ec="none", zorder=3))
        self.axis.text(x, y, sign, ha="center", va="center_baseline", fontsize=10, color=self.palette.paper, zorder=4)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a connection without an arrow head."""
        self.arrow(start, end, head=False)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], *, head: bool = True) -> None:
        """Draw a connection with an arrow head, unless `head` is False."""
        style = "-|>,head_length=4,head_width=2.2" if head else "-"
        patch = FancyArrowPatch(start, end, arrowstyle=style, shrinkA=0, shrinkB=0, color=self.palette.muted, lw=1.2)
        self.axis.add_patch(patch)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        ha: str = "center",
        va: str = "center",
        muted: bool = False,
        backed: bool = False,
    ) -> None:
        """Write a name or a number."""
        colour = self.palette.muted if muted else self.palette.ink
        box = {"boxstyle": "square,pad=0.2", "fc": self.palette.paper, "ec": "none"} if backed else None
        self.axis.text(x, y, text, ha=ha, va=va, fontsize=8.5, color=colour, linespacing=1.35, bbox=box)
