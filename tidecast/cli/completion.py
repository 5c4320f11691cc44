"""What a shell offers for a series' name: those in the store."""

from pathlib import Path

import typer

from tidecast.errors import TidecastError
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings


def series_in_store(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of series with a version that begin so; none where there is no store that can be read.

    Args:
        ctx: of the command so far, which may have named another store.
        incomplete: what was typed of the name.
    """
    given = ctx.params.get("store")
    try:
        names = ModelStore(load_settings(store=Path(given) if given else None).store).series()
    except (TidecastError, OSError, ValueError, LookupError, TypeError):  # a shell has no place for an error
        return []
    taken = ctx.params.get("series")
    others = taken if isinstance(taken, list | tuple) else ()
    return [name for name in names if name.startswith(incomplete) and name not in others]
