"""Pages without scripts: the form for the token, and the answers to wrong addresses and names."""

from collections.abc import Iterable
from html import escape
from itertools import islice

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from dashboard.pages.formats import series_path
from tidecast.pictures.colours import DARK, LIGHT
from tidecast.suggestions import most_similar

NOT_FOUND = "There is no page at this address."
NO_NAME = "This address names no series."
BAD_VALUE = "A part of this address has a wrong value: {}."
UNKNOWN_SERIES = "No such series: {}"
OPENS = "If it is new, its page opens here with its first forecast."
AGAIN_S = 3  # between two looks for a series that is not known yet
MOST_COMPARED = 20_000  # names that may be similar
DATA = ("/api/", "/_nicegui/")  # paths that programs request
_BACK = '<p><a href="/">All series</a></p>'
_STYLE = (
    f"""
:root {{ color-scheme: light dark; {LIGHT.variables()} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK.variables()} }} }}
"""
    + """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 16vh auto; padding: 0 1rem;
  background: var(--ground); color: var(--ink); overflow-wrap: anywhere; }
a { color: var(--blue); }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; margin: .3rem 0; }
"""
)


def plain_page(body: str, status: int, again_s: int = 0) -> HTMLResponse:
    """Return a page.

    Args:
        body: HTML.
        status: of the response.
        again_s: seconds until the browser asks again; 0: it does not.
    """
    again = f'<meta http-equiv="refresh" content="{again_s}">' if again_s else ""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tidecast</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}<style>{_STYLE}</style></head>'
        f"<body><h1>Tidecast</h1>{body}</body></html>",
        status,
    )


async def not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    """Answer an unknown address: a program gets JSON, a person a sentence and a link back."""
    if request.url.path.startswith(DATA):
        return JSONResponse({"detail": NOT_FOUND}, 404)
    return sentence_page(NOT_FOUND, 404)


async def bad_value(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as FastAPI calls it
    """Answer an address such as `/?page=x`."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    return sentence_page(BAD_VALUE.format(", ".join(str(each["loc"][-1]) for each in errors)), 422)


def sentence_page(sentence: str, status: int) -> HTMLResponse:
    """Return a page with a sentence and a link to all series."""
    return plain_page(f"<p>{escape(sentence)}</p>{_BACK}", status)


def unknown_series(name: str, known: Iterable[str]) -> HTMLResponse:
    """Return the page of a series that is not known; it asks again, so that it opens with the first forecast.

    Args:
        name: the series.
        known: the names of all series; the text may name one of them.
    """
    if not name:
        return sentence_page(NO_NAME, 404)
    similar = most_similar(name, islice(known, MOST_COMPARED))
    question = f'<p>Did you mean <a href="{series_path(similar)}">{escape(similar)}</a>?</p>' if similar else ""
    sentence = UNKNOWN_SERIES.format(f"<b>{escape(name)}</b>.")
    return plain_page(f"<p>{sentence}</p>{question}<p>{OPENS}</p>{_BACK}", 404, AGAIN_S)
