"""An HTML page that opens offline: embedded pictures, no scripts, no external links, and all text escaped."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from trainer.reports import canvas
from trainer.reports.canvas import DARK, LIGHT, Palette

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2328; --muted: #636c76; --line: #dde1e6; --tint: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16191d; --ink: #e8eaed; --muted: #9aa4af; --line: #343a42; --tint: #1e2227; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 50rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.sub, figcaption { color: var(--muted); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0; }
.facts div { background: var(--tint); border-radius: .5rem; padding: .6rem .8rem; }
.facts dt { color: var(--muted); font-size: .8rem; }
.facts dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: .75rem 0; }
.scroll { overflow-x: auto; }
img { display: block; width: 100%; min-width: 30rem; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
table.pairs td:last-child { text-align: left; overflow-wrap: anywhere; }
th { color: var(--muted); font-weight: 600; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  figure, .facts, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  img { min-width: 0; }
}
"""
# The page forbids all external resources, so that a browser refuses to fetch any.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of a page, as PNG in the light and the dark palette."""

    name: str  # part of the file name
    caption: str
    light: bytes
    dark: bytes


def picture(name: str, caption: str, draw: Callable[[Palette], Figure]) -> Picture:
    """Draw a figure in both palettes."""
    return Picture(name, caption, canvas.png(draw(LIGHT)), canvas.png(draw(DARK)))


def figure(shown: Picture) -> str:
    """Return a picture with its caption as HTML."""
    light = f"data:image/png;base64,{base64.b64encode(shown.light).decode()}"
    dark = f"data:image/png;base64,{base64.b64encode(shown.dark).decode()}"
    caption = escape(shown.caption)
    return (
        f'<figure><div class="scroll"><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{caption}"></picture></div><figcaption>{caption}</figcaption></figure>'
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a list of key figures as HTML."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{cells}</dl>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a head as HTML; it scrolls on narrow screens."""
    body = "".join(_row("td", row) for row in rows)
    return f'<div class="scroll"><table><thead>{_row("th", head)}</thead><tbody>{body}</tbody></table></div>'


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of names and values as HTML."""
    return f'<table class="pairs"><tbody>{"".join(_row("td", row) for row in rows)}</tbody></table>'


def section(title: str, *parts: str) -> str:
    """Return a heading with HTML parts below it."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str, css: str = "") -> str:
    """Return a text as an HTML paragraph."""
    return f'<p class="{css}">{escape(text)}</p>' if css else f"<p>{escape(text)}</p>"


def page(title: str, *parts: str) -> str:
    """Return the whole page; `parts` are HTML, `title` is text."""
    shown = escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head>'
        f"<body><h1><bdi>{shown}</bdi></h1>{''.join(parts)}</body></html>\n"
    )


def write(out: Path, stem: str, html: str, pictures: Sequence[Picture]) -> Path:
    """Write the page and, beside it, each picture in the light palette; return the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    for each in pictures:
        picture_path(out / f"{stem}.html", each.name).write_bytes(each.light)
    path = out / f"{stem}.html"
    path.write_text(html, encoding="utf-8")
    return path


def picture_path(page: Path, name: str) -> Path:
    """Return the path of the picture of this name beside its page."""
    return page.with_name(f"{page.stem}-{name}.png")


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
