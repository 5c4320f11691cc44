"""An HTML page that opens offline: embedded pictures, no scripts, no external links, and all text escaped."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from tidecast.pictures.colours import DARK, LIGHT
from trainer.reports import canvas
from trainer.reports.canvas import SHEETS, Sheet

_NARROW = "40rem"  # a page of at most this width shows narrow pictures
_MEDIA = {  # the first that fits is shown, otherwise the picture on the sheet `light`
    "dark-narrow": f"(max-width: {_NARROW}) and (prefers-color-scheme: dark)",
    "light-narrow": f"(max-width: {_NARROW})",
    "dark": "(prefers-color-scheme: dark)",
}

_STYLE = f"""
:root {{ color-scheme: light dark; {LIGHT.variables()} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK.variables()} }} }}
""" + """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 50rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.sub, figcaption { color: var(--quiet); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: .75rem; margin: 1.25rem 0; }
.facts div { background: var(--tint); border-radius: .5rem; padding: .6rem .8rem; }
.facts dt { color: var(--quiet); font-size: .875rem; line-height: 1.35; }
.facts dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: .75rem 0; }
.scroll { overflow-x: auto; }
img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; padding-left: 0; }
table.pairs td:last-child { text-align: left; overflow-wrap: anywhere; }
th { color: var(--quiet); font-weight: 600; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
body:has(table.sortable) { max-width: 80rem; }
table.sortable td:last-child { text-align: left; min-width: 20rem; }
a { color: inherit; }
@media (max-width: NARROW) {
  .facts { grid-template-columns: 1fr; }
  th, td { padding: .3rem; }
  img { max-width: 26rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  figure, .facts, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
""".replace("NARROW", _NARROW)
# Sort the table by the column of the title that was pressed; a second press turns the order round.
SORT = """
const heads = [...document.querySelectorAll("table.sortable th")];
const body = document.querySelector("table.sortable tbody");
heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach((each) => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.key;
  const compare = (a, b) => (isNaN(a - b) ? a.localeCompare(b) : a - b) * (down ? -1 : 1);
  const rows = [...body.rows];
  const known = rows.filter((row) => key(row) !== undefined).sort((a, b) => compare(key(a), key(b)));
  body.append(...known, ...rows.filter((row) => key(row) === undefined));
}));
"""
# The page forbids all external resources, so that a browser refuses to fetch any.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of a page."""

    name: str  # part of the file name
    caption: str
    files: Mapping[str, bytes]  # PNG, by the name of the sheet


def picture(name: str, caption: str, draw: Callable[[Sheet], Figure]) -> Picture:
    """Draw a figure on all sheets; those of the same width have the same layout."""
    files: dict[str, bytes] = {}
    drawn: dict[bool, Figure] = {}
    for sheet, blank in SHEETS.items():
        new = draw(blank)
        if blank.narrow in drawn:
            canvas.share_layout(new, drawn[blank.narrow])
        files[sheet] = canvas.png(new)
        drawn[blank.narrow] = new
    return Picture(name, caption, files)


def figure(picture: Picture) -> str:
    """Return a picture with its caption as HTML; the browser shows the one that fits its width and its theme."""
    data = {name: f"data:image/png;base64,{base64.b64encode(file).decode()}" for name, file in picture.files.items()}
    sources = "".join(f'<source media="{media}" srcset="{data[name]}">' for name, media in _MEDIA.items())
    caption = escape(picture.caption)
    return (
        f'<figure><picture>{sources}<img src="{data["light"]}" alt="{caption}"></picture>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a list of key figures as HTML."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{cells}</dl>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a head as HTML; it scrolls on narrow screens."""
    body = "".join(_row("td", row) for row in rows)
    return f'<div class="scroll"><table><thead>{_row("th", head)}</thead><tbody>{body}</tbody></table></div>'


@dataclass(frozen=True, slots=True)
class TableCell:
    """A cell of a sortable table.

    Attributes:
        text: what it shows.
        key: what it is sorted by; None: it comes last.
        link: the page to open; empty: none.
    """

    text: str
    key: str | float | None
    link: str = ""

    def html(self) -> str:
        """Return the cell as HTML."""
        key = "" if self.key is None else f' data-key="{escape(str(self.key))}"'
        text = escape(self.text)
        if self.link:
            text = f'<a href="{escape(self.link)}">{text}</a>'
        return f"<td{key}>{text}</td>"


def sortable_table(head: Sequence[str], rows: Sequence[Sequence[TableCell]]) -> str:
    """Return a table as HTML that the script `SORT` sorts; without scripts it keeps the order of the rows."""
    titles = "".join(f"<th><button>{escape(title)}</button></th>" for title in head)
    body = "".join(f"<tr>{''.join(cell.html() for cell in row)}</tr>" for row in rows)
    table = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="sortable">{table}</table></div>'


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of names and values as HTML."""
    return f'<table class="pairs"><tbody>{"".join(_row("td", row) for row in rows)}</tbody></table>'


def section(title: str, *parts: str) -> str:
    """Return a heading with HTML parts below it."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str, css: str = "") -> str:
    """Return a text as an HTML paragraph."""
    return f'<p class="{css}">{escape(text)}</p>' if css else f"<p>{escape(text)}</p>"


def page(title: str, *parts: str, script: str = "") -> str:
    """Return the whole page; `parts` are HTML, `title` is text. Only `script` may run in it."""
    shown = escape(title)
    policy = _POLICY
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style></head>'
        f"<body><h1><bdi>{shown}</bdi></h1>{''.join(parts)}"
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def write(out: Path, stem: str, html: str, pictures: Sequence[Picture]) -> Path:
    """Write the page and, beside it, each picture on a wide light sheet; return the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{stem}.html"
    for each in pictures:
        picture_path(path, each.name).write_bytes(each.files["light"])
    path.write_text(html, encoding="utf-8")
    return path


def picture_path(page: Path, name: str) -> Path:
    """Return the path of the picture of this name beside its page."""
    return page.with_name(f"{page.stem}-{name}.png")


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
