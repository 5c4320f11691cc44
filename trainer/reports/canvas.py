"""Common parts of all pictures: the sheet that they are drawn on, axis styles, and writing a figure as PNG.

Figures are created without pyplot, so no figure stays open and no window system is needed.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import HOURLY, AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tidecast.pictures.colours import DARK, LIGHT, Theme

WIDE = 7.2  # inches: as wide as a page's text
NARROW = 3.6  # inches: as wide as the text on a phone of 390 pixels
DPI = 144
MAX_LABEL = 40  # characters


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture's theme and width. Text is at least 14 pixels high where the picture is shown: on a page or a phone."""

    theme: Theme = LIGHT
    narrow: bool = False

    @property
    def width(self) -> float:
        """Return the width in inches."""
        return NARROW if self.narrow else WIDE

    @property
    def text(self) -> float:
        """Return the size of text in points."""
        return 10.2 if self.narrow else 9.6

    @property
    def columns(self) -> int:
        """Return how many entries of a legend fit side by side."""
        return 2 if self.narrow else 5

    def figure(self, height: float) -> Figure:
        """Return an empty figure, `height` inches high."""
        return Figure(figsize=(self.width, height), dpi=DPI, facecolor=self.theme.paper, layout="constrained")

    def mosaic(self, rows: list[list[str]], height: float) -> tuple[Figure, dict[str, Any]]:
        """Return a figure with these axes in rows of `height` inches; on a narrow sheet all stand in one column."""
        placed: Any = [[name] for row in rows for name in dict.fromkeys(row)] if self.narrow else rows
        figure = self.figure(height * len(placed))
        return figure, figure.subplot_mosaic(placed)


SHEETS = {
    "light": Sheet(LIGHT),
    "dark": Sheet(DARK),
    "light-narrow": Sheet(LIGHT, narrow=True),
    "dark-narrow": Sheet(DARK, narrow=True),
}


def style_axis(axis: Any, sheet: Sheet, title: str = "") -> None:
    """Set an axis' colours, its light grid and its title at the left."""
    theme = sheet.theme
    axis.set_facecolor(theme.paper)
    axis.set_axisbelow(True)
    axis.grid(visible=True, color=theme.line, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(theme.line)
    axis.tick_params(colors=theme.quiet, labelsize=sheet.text, length=0)
    for dimension in (axis.xaxis, axis.yaxis):
        dimension.get_offset_text().set(color=theme.quiet, size=sheet.text)
    axis.set_title(title, loc="left", fontsize=sheet.text + 1, color=theme.ink, pad=8)


def label(axis: Any, sheet: Sheet, *, x: str = "", y: str = "") -> None:
    """Set the labels of the x and y axes."""
    axis.set_xlabel(x, fontsize=sheet.text, color=sheet.theme.quiet, parse_math=False)
    axis.set_ylabel(y, fontsize=sheet.text, color=sheet.theme.quiet, parse_math=False)


def legend(figure: Figure, sheet: Sheet) -> None:
    """Add a legend below all axes, where it covers no data."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=sheet.columns,
        fontsize=sheet.text,
        frameon=False,
        labelcolor=sheet.theme.quiet,
        handlelength=1.4,
        columnspacing=1.2,
    )


def time_axis(axis: Any, sheet: Sheet) -> None:
    """Format the time axis in UTC, with labels as short as is unambiguous."""
    locator: Any = AutoDateLocator(minticks=3, maxticks=4 if sheet.narrow else 8)  # type: ignore[no-untyped-call] # matplotlib's
    locator.intervald[HOURLY] = [1, 2, 3, 4, 6, 12, 24]  # by default no interval fits two days on a narrow sheet
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


def share_layout(figure: Figure, drawn: Figure) -> None:
    """Put the axes where a drawn figure of another theme has them; a layout takes most of the time of a drawing."""
    figure.set_layout_engine("none")
    for axis, placed in zip(figure.axes, drawn.axes, strict=True):
        axis.set_position(placed.get_position(original=True))


def png(figure: Figure) -> bytes:
    """Return the figure as bytes of a PNG file, the same for equal figures."""
    sink = io.BytesIO()
    # `savefig` would draw the figure twice to lay it out.
    FigureCanvasAgg(figure).print_png(sink, metadata={"Software": None})  # type: ignore[no-untyped-call] # matplotlib's
    return sink.getvalue()
