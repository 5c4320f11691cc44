"""Complete series names in the shell, from the store."""

from pathlib import Path

import typer

from tidecast.errors import TidecastError


def series_in_store(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of stored series that begin with `incomplete`; an empty list if the store cannot be read.

    Args:
        ctx: the command so far, which may name another store.
        incomplete: the typed beginning of the name.
    """
    from tidecast.models.store import ModelStore
    from tidecast.settings import load_settings

    given = ctx.params.get("store")
    try:
        names = ModelStore(load_settings(store=Path(given) if given else None).store).series()
    except (TidecastError, OSError, ValueError, LookupError, TypeError):  # a shell cannot show an error here
        return []
    taken = ctx.params.get("series")
    others = taken if isinstance(taken, list | tuple) else ()
    return [name for name in names if name.startswith(incomplete) and name not in others]
