"""Common parts of all pictures: two palettes, the width, axis styles, and writing a figure as PNG.

Figures are created without pyplot, so no figure stays open and no window system is needed.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

WIDTH = 7.2  # inches: as wide as a page's text, and still readable on a phone
DPI = 144
SMALL = 8  # points
MAX_LABEL = 40  # characters


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a picture; the same roles in both palettes, distinct for the colour-blind too."""

    paper: str
    ink: str
    muted: str  # axes, notes
    line: str  # grids, frames
    reading: str
    forecast: str
    interval: str

    @property
    def gate(self) -> LinearSegmentedColormap:
        """Return the colour map of a gate, from 0 (shut) to 1 (open)."""
        return LinearSegmentedColormap.from_list("gate", [self.paper, self.interval])

    @property
    def signed(self) -> LinearSegmentedColormap:
        """Return the colour map of signed values, from negative over 0 to positive."""
        return LinearSegmentedColormap.from_list("signed", [self.interval, self.paper, self.forecast])


LIGHT = Palette("#ffffff", "#1f2328", "#636c76", "#dde1e6", "#1f2328", "#c8472f", "#2f7fb5")
DARK = Palette("#16191d", "#e8eaed", "#9aa4af", "#343a42", "#e8eaed", "#ff8a70", "#62aee0")


def shades(palette: Palette, count: int) -> list[Any]:
    """Return `count` distinct colours, from the forecast's through the interval's to the muted one."""
    chosen = LinearSegmentedColormap.from_list("shades", [palette.forecast, palette.interval, palette.muted])
    return [chosen(i / max(1, count - 1)) for i in range(count)]


def new_figure(palette: Palette, height: float) -> Figure:
    """Return an empty figure of the common width, `height` inches high."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=palette.paper, layout="constrained")


def dress(axis: Any, palette: Palette, title: str = "") -> None:
    """Set an axis' colours, its light grid and its title at the left."""
    axis.set_facecolor(palette.paper)
    axis.set_axisbelow(True)
    axis.grid(visible=True, color=palette.line, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(palette.line)
    axis.tick_params(colors=palette.muted, labelsize=SMALL, length=0)
    axis.xaxis.get_offset_text().set(color=palette.muted, size=SMALL)
    axis.yaxis.get_offset_text().set(color=palette.muted, size=SMALL)
    axis.set_title(title, loc="left", fontsize=9.5, color=palette.ink, pad=8)


def label(axis: Any, palette: Palette, *, x: str = "", y: str = "") -> None:
    """Set the labels of the x and y axes."""
    axis.set_xlabel(x, fontsize=SMALL, color=palette.muted, parse_math=False)
    axis.set_ylabel(y, fontsize=SMALL, color=palette.muted, parse_math=False)


def legend(axis: Any, palette: Palette, columns: int) -> None:
    """Add a legend above the axis, where it covers no data."""
    axis.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=columns,
        fontsize=SMALL,
        frameon=False,
        labelcolor=palette.muted,
        handlelength=1.6,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def time_axis(axis: Any) -> None:
    """Format the time axis in UTC, with labels as short as is unambiguous."""
    locator: Any = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call] # matplotlib's
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call] # matplotlib's


def whole_numbers(axis: Any) -> None:
    """Set ticks only at whole numbers, for epochs, lags and units."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def moments(ts: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Convert epoch milliseconds to the times that axes use."""
    return ts.astype("datetime64[ms]")


def drawable(name: str) -> str:
    """Return a column's name if a picture can show it, else "value": the font lacks the letters of many scripts."""
    return name if name.isascii() and name.isprintable() and len(name) <= MAX_LABEL else "value"


def png(figure: Figure) -> bytes:
    """Return the figure as bytes of a PNG file, the same for equal figures."""
    sink = io.BytesIO()
    # `savefig` would draw the figure twice to lay it out.
    FigureCanvasAgg(figure).print_png(sink, metadata={"Software": None})  # type: ignore[no-untyped-call] # matplotlib's
    return sink.getvalue()
