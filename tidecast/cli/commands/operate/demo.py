"""`tidecast demo`: train on real series, and replay the rest through a real worker."""

from pathlib import Path
from typing import Annotated

import typer

from tidecast.cli.options import JsonOption


def demo(
    *,
    as_json: JsonOption = False,
    redis: Annotated[str | None, typer.Option(help="Use this Redis instead of an embedded one.")] = None,
    out: Annotated[Path, typer.Option(help="The directory for the picture.")] = Path("out/demo"),
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Do not serve the web page.")] = False,
) -> None:
    """Train on real series, and replay the rest through a real worker while you watch."""
    from tidecast.tools.demo import run

    run(redis_url=redis, out=out, as_json=as_json, dashboard=not no_dashboard)
