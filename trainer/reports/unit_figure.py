"""The picture of one unit of an LSTM cell at one step, with the numbers of the update of its state."""

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from tidecast.models.lstm import Activation
from tidecast.models.lstm_trace import CellTrace
from tidecast.pictures.colours import FORECAST, READING
from trainer.reports.canvas import Sheet

TIMES, SIGMOID = "\N{MULTIPLICATION SIGN}", "sigmoid"


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """Lengths in hundredths of the picture's width, from the lower left; the frame ends at the top.

    Attributes:
        height: of the picture.
        memory: of the line of the cell state.
        gates: of the four layers.
        product: of the product of input gate and candidate.
        shown: of the product of output gate and squashed cell state.
        read: of the line of the inputs.
        places: of forget gate, input gate, candidate and output gate, from the left.
        end: of the line of the hidden state, which leads down again.
        box: width of a layer.
        radius: of a sign of arithmetic.
    """

    height: float
    memory: float
    gates: float
    product: float
    shown: float
    read: float
    places: tuple[float, float, float, float]
    end: float
    box: float
    radius: float

    @property
    def sum(self) -> float:
        """Return the place of the sum, between input gate and candidate."""
        return (self.places[1] + self.places[2]) / 2


WIDE = _Layout(64, 52, 26, 38, 34, 9, (22, 40, 58, 76), 86, 11, 2)
NARROW = _Layout(100, 82, 44, 62, 56, 17, (14, 36, 60, 83), 95, 20, 3.2)


def draw_unit(unit: Unit, activation: Activation, sheet: Sheet) -> Figure:
    """Draw a cell: the cell state runs along the top, and four gates change it."""
    at = NARROW if sheet.narrow else WIDE
    figure = sheet.figure(sheet.width * at.height / 100)
    axis = figure.subplots()
    axis.set(xlim=(0, 100), ylim=(0, at.height), aspect="equal")
    axis.axis("off")
    pen = _Pen(axis, sheet, at)
    _memory(pen, unit)
    squashes = (SIGMOID, SIGMOID, activation, SIGMOID)
    for place, name, squash in zip(at.places, ("forget", "input", "candidate", "output"), squashes, strict=True):
        _gate(pen, place, name, squash, getattr(unit, name))
    _write(pen, unit)
    _show(pen, unit, activation)
    return figure


def _memory(pen: "_Pen", unit: Unit) -> None:
    at = pen.at
    forget = at.places[0]
    pen.arrow((2, at.memory), (forget - at.radius, at.memory))
    pen.arrow((forget + at.radius, at.memory), (at.sum - at.radius, at.memory))
    pen.arrow((at.sum + at.radius, at.memory), (98, at.memory))
    pen.operation(forget, at.memory, TIMES)
    pen.operation(at.sum, at.memory, "+")
    pen.text(2, at.memory + 4, f"cell state\n{unit.before:.3f}", ha="left", va="bottom")
    pen.text(98, at.memory + 4, f"cell state\n{unit.after:.3f}", ha="right", va="bottom")
    pen.text((forget + at.sum) / 2, at.memory + 1.5, f"kept {unit.forget * unit.before:.3f}", va="bottom", quiet=True)


def _gate(pen: "_Pen", x: float, name: str, squash: str, value: float) -> None:
    at = pen.at
    pen.box(x, at.gates, squash)
    pen.arrow((x, at.read), (x, at.gates - 3))
    # Two texts: in one text the tallest letter would shift the baselines.
    line = 2.5 * at.radius / 2
    pen.text(x, at.gates - 4.7 - line, name, va="baseline", backed=True)
    pen.text(x, at.gates - 4.7 - 2.2 * line, f"{value:.3f}", va="baseline", backed=True)


def _write(pen: "_Pen", unit: Unit) -> None:
    at = pen.at
    forget, gate, candidate, output = at.places
    pen.line((2, at.read), (output, at.read))
    pen.text(2, at.read - 1.6, "new row and last hidden state", ha="left", va="top", quiet=True)
    pen.arrow((forget, at.gates + 3), (forget, at.memory - at.radius))
    for place, side in ((gate, -1), (candidate, 1)):
        pen.line((place, at.gates + 3), (place, at.product))
        pen.arrow((place, at.product), (at.sum + side * at.radius, at.product))
    pen.operation(at.sum, at.product, TIMES)
    pen.arrow((at.sum, at.product + at.radius), (at.sum, at.memory - at.radius))
    middle = (at.product + at.memory) / 2
    pen.text(at.sum - 1.5, middle, f"written {unit.input * unit.candidate:.3f}", ha="right", quiet=True)


def _show(pen: "_Pen", unit: Unit, activation: Activation) -> None:
    at = pen.at
    output = at.places[3]
    squash = (at.shown + at.memory) / 2 + 0.5
    pen.line((output, at.memory), (output, squash + 3))
    pen.box(output, squash, activation)
    pen.arrow((output, squash - 3), (output, at.shown + at.radius))
    pen.arrow((output, at.gates + 3), (output, at.shown - at.radius))
    pen.operation(output, at.shown, TIMES)
    pen.line((output + at.radius, at.shown), (at.end, at.shown))
    pen.line((at.end, at.shown), (at.end, at.read))
    pen.arrow((at.end, at.read), (98, at.read))
    pen.text(98, at.read - 1.6, f"hidden\n{unit.hidden:.3f}", ha="right", va="top")


class _Pen:
    """Drawing tools for one axis; lengths are in hundredths of the width."""

    def __init__(self, axis: Any, sheet: Sheet, at: _Layout) -> None:
        self.axis = axis
        self.sheet = sheet
        self.at = at

    def box(self, x: float, y: float, text: str) -> None:
        """Draw a layer of weights with its activation function, centred."""
        width = self.at.box
        corner = (x - width / 2, y - 3)
        style = "round,pad=0,rounding_size=1"
        self.axis.add_patch(FancyBboxPatch(corner, width, 6, style, fc=self.sheet.theme.tint, ec=READING, lw=1.2))
        self.text(x, y, text)

    def operation(self, x: float, y: float, sign: str) -> None:
        """Draw an arithmetic operation on two numbers."""
        circle = Circle((x, y), self.at.radius, fc=self.sheet.theme.paper, ec=FORECAST, lw=1.2, zorder=3)
        self.axis.add_patch(circle)
        ink = self.sheet.theme.ink
        self.axis.text(x, y, sign, ha="center", va="center_baseline", fontsize=self.sheet.text, color=ink, zorder=4)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a connection without an arrow head."""
        self.arrow(start, end, head=False)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], *, head: bool = True) -> None:
        """Draw a connection with an arrow head, unless `head` is False."""
        style = "-|>,head_length=4,head_width=2.2" if head else "-"
        colour = self.sheet.theme.quiet
        self.axis.add_patch(FancyArrowPatch(start, end, arrowstyle=style, shrinkA=0, shrinkB=0, color=colour, lw=1.2))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        ha: str = "center",
        va: str = "center",
        quiet: bool = False,
        backed: bool = False,
    ) -> None:
        """Write a name or a number."""
        theme = self.sheet.theme
        colour = theme.quiet if quiet else theme.ink
        box = {"boxstyle": "square,pad=0.1", "fc": theme.paper, "ec": "none"} if backed else None
        self.axis.text(x, y, text, ha=ha, va=va, fontsize=self.sheet.text, color=colour, linespacing=1.2, bbox=box)
