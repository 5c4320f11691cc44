"""`tidecast dashboard`: serve the web page."""

from typing import Annotated

import typer
from pydantic import SecretStr

from tidecast.cli.options import InstallationOptions
from tidecast.errors import TidecastError
from tidecast.tools.demo_programs import dashboard_installed


def dashboard(
    *,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on; one that other machines can reach needs a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 picks a free one.", min=0, max=65535)] = None,
    token: Annotated[
        str | None, typer.Option(help="Require this token from viewers, who can then use the buttons.")
    ] = None,
    installation: InstallationOptions,
) -> None:
    """Show series, forecasts and retraining on a web page (Ctrl+C to stop)."""
    check_installed()
    from dashboard.main import run

    settings = installation.settings()
    given: dict[str, object] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if token is not None:
        given["token"] = SecretStr(token)
    run(settings.model_copy(update={"dashboard": settings.dashboard.model_copy(update=given)}))


def check_installed() -> None:
    """Check that the dashboard's packages are installed.

    Raises:
        TidecastError: they are missing.
    """
    if not dashboard_installed():
        raise TidecastError("the dashboard needs its extra: pip install 'tidecast[dashboard]'")
