"""`tidecast series`: list the series of an installation, and delete or rename one."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from tidecast.cli.completion import series_in_store
from tidecast.cli.exit_codes import FAILED
from tidecast.cli.groups import with_groups
from tidecast.cli.options import InstallationOptions, JsonOption
from tidecast.durations import seconds_of
from tidecast.moments import utc_text
from tidecast.outputs import table_of
from tidecast.tools.series.life import SeriesRequest, change_series
from tidecast.tools.series.listing import SeriesRow, describe_series, list_series

app = typer.Typer(help="List the series of an installation, delete or rename one.", no_args_is_help=True)
SeriesName = Annotated[str, typer.Argument(help="The name of a series.", autocompletion=series_in_store)]
TimeoutOption = Annotated[str, typer.Option(help="How long to wait for the worker, such as 30s.")]


def list_all(
    pattern: Annotated[str, typer.Argument(help="Only series of this pattern, such as 'boiler-*'.")] = "*",
    *,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """List all series, with their newest readings and their models."""
    rows = list_series(installation.settings(), pattern)
    if as_json:
        print(json.dumps([row.as_dict() for row in rows], indent=1))
        return
    _print_rows(rows)
    for row in rows:
        if row.fault:
            typer.echo(f"{row.series}: {row.fault}", err=True)


def show(series: SeriesName, *, as_json: JsonOption = False, installation: InstallationOptions) -> None:
    """Show what belongs to a series in Redis and in the store."""
    facts = describe_series(installation.settings(), series)
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    facts["newest reading"] = utc_text(newest) if (newest := facts.pop("newest_ms")) else None
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}: {_text(value)}")


def delete(
    series: SeriesName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_entries: Annotated[
        bool, typer.Option("--keep-entries", help="Keep its readings, forecasts and events until they are trimmed.")
    ] = False,
    timeout: TimeoutOption = "60s",
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Delete a series: its state, its models, and its readings, forecasts, events and dead letters."""
    what = "its models" if keep_entries else "its models, readings, forecasts and events"
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete {series} and {what}?", err=True):
        raise typer.Exit(FAILED)
    request = SeriesRequest(series=series, purging=not keep_entries)
    models = change_series(installation.settings(), request, seconds_of(timeout, "--timeout"))
    if as_json:
        print(json.dumps({"series": series, "models": models, "entries": "kept" if keep_entries else "deleted"}))
    elif keep_entries:
        print(f"{series} deleted; its readings, forecasts and events stay in the streams until they are trimmed")
    else:
        print(f"{series} deleted, with its readings, forecasts and events")


def rename(
    series: SeriesName,
    new: Annotated[str, typer.Argument(help="The new name.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete a series that has the new name.")] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete the readings, forecasts and events with the old name.")
    ] = False,
    timeout: TimeoutOption = "60s",
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Give a series a new name; its window, records and models continue under it."""
    request = SeriesRequest(series=series, new=new, replacing=replace, purging=purge)
    models = change_series(installation.settings(), request, seconds_of(timeout, "--timeout"))
    if as_json:
        print(json.dumps({"series": series, "new": new, "models": models, "entries": "deleted" if purge else "kept"}))
    else:
        print(f"{series} is called {new} now: send its readings under that name")


app.command("list")(with_groups(list_all))
app.command("show")(with_groups(show))
app.command("delete")(with_groups(delete))
app.command("rename")(with_groups(rename))


def _print_rows(rows: list[SeriesRow]) -> None:
    """Print a table on a terminal; elsewhere lines with tabs, as laying out a table of 20,000 rows takes 10 s."""
    titles = ("series", "part", "readings", "newest reading", "model", "unit")
    if not sys.stdout.isatty():
        for cells in (titles, *map(_cells, rows)):
            print("\t".join(cells))
        return
    table = table_of(*titles, texts=("series", "unit"))
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)


def _cells(row: SeriesRow) -> list[str]:
    newest = utc_text(row.newest_ms) if row.newest_ms else ""
    model = f"v{row.champion}" if row.champion else ""
    return [row.series, str(row.partition), "" if row.readings is None else str(row.readings), newest, model, row.unit]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)
