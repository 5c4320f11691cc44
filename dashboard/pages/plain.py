"""Pages without scripts: the form for the token, and the answer to an address that leads nowhere."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tidecast.pictures.colours import DARK, LIGHT

NOT_FOUND = "There is no page at this address."
UNKNOWN_SERIES = "No series of the name {} has sent a reading yet. Its page opens here with the first forecast."
AGAIN_S = 3  # between two looks for a series that is not known yet
DATA = ("/api/", "/_nicegui/")  # paths that programs request
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
    return missing_page(NOT_FOUND)


def missing_page(sentence: str, again_s: int = 0) -> HTMLResponse:
    """Return a page with a sentence and a link to all series."""
    return plain_page(f'<p>{escape(sentence)}</p><p><a href="/">All series</a></p>', 404, again_s)


def unknown_series(name: str) -> HTMLResponse:
    """Return the page of a series that is not known; it asks again, so that it opens with the first forecast."""
    return missing_page(UNKNOWN_SERIES.format(name) if name else NOT_FOUND, AGAIN_S if name else 0)
