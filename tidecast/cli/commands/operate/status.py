"""`tidecast status`: show the state of an installation, live or once."""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tidecast.cli.options import InstallationOptions, JsonOption
from tidecast.connection import connect
from tidecast.connection.conditions import conditions_text
from tidecast.durations import duration_text, seconds_of
from tidecast.errors import SettingsError
from tidecast.moments import utc_text
from tidecast.outputs import table_of
from tidecast.settings import Settings
from tidecast.tools.status import PartitionStatus, Status, StatusWatch, counts_text

SHORTEST_S = 0.1  # the least time between two updates


def status(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Print the status once; this is the default without a terminal.")
    ] = False,
    interval: Annotated[
        str, typer.Option(help="The time between two updates, such as 5s or 1m; rates are means over it.")
    ] = "1s",
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Show live status (Ctrl+C to stop)."""
    interval_s = seconds_of(interval, "--interval")
    if interval_s < SHORTEST_S:
        raise SettingsError(f"--interval {interval!r} is too short: use {duration_text(SHORTEST_S)} or more")
    settings = installation.settings()
    console = Console()
    statuses = _statuses(settings, interval_s)
    first = next(statuses)
    if as_json:
        print(json.dumps(first.as_dict(), indent=1))
    elif once or not console.is_terminal:
        console.print(page(first))
    else:
        with Live(page(first), console=console, auto_refresh=False) as live:
            for current in statuses:
                live.update(page(current), refresh=True)


def _statuses(settings: Settings, interval_s: float) -> Iterator[Status]:
    """Yield the status every `interval_s` seconds, each with the rates since the one before."""
    with connect(settings) as redis:
        watch = StatusWatch(redis, settings)
        watch.look()
        while True:
            time.sleep(interval_s)
            yield watch.look()


def page(current: Status) -> Group:
    """Return the status as a table and lines of text."""
    table = table_of(
        "part", "worker", "series", "answered", "per s", "lag", "waited", "dead", "lost", texts=("worker",)
    )
    for part in current.partitions:
        table.add_row(*_row(part), style="" if part.owner else "red")
    return Group(table, *(Text(line) for line in _lines(current)))


def _row(part: PartitionStatus) -> Iterator[str]:
    answered = part.readings["forecast"]
    dead = part.readings["dead"]
    yield from (str(part.partition), part.owner or "nobody", f"{'~' * part.estimated}{part.series}")
    yield from (str(answered), "" if part.rate is None else f"{part.rate:.0f}")
    yield from ("?" if part.lag is None else str(part.lag), f"{part.waited_s:.1f} s", str(dead), str(part.lost))


def _lines(current: Status) -> Iterator[str]:
    sums: dict[str, Any] = current.as_dict()
    count = len(current.workers)
    names = f": {', '.join(current.workers)}" if count else ""
    yield f"{utc_text(current.at_ms)}  {count or 'no'} worker{'s' * (count != 1)}{names}"
    yield f"{sums['series']} series, {current.champions} with a model"
    yield f"readings: {counts_text(sums)}"
    if current.conditions:
        yield f"conditions: {conditions_text(current.conditions)}"
    if not any(part.run and part.run.next_ms for part in current.partitions):
        yield f"retraining: {current.schedule}; no run is planned yet"
    planned = (part.run for part in current.partitions if part.run and part.run.next_ms)
    for run in sorted(planned, key=lambda run: run.next_ms):
        last = f", the last {run.state} {utc_text(run.ended_ms)}: {run.detail}" if run.ended_ms else ""
        past = last or (f", {run.state}" if run.state else "")
        yield f"retraining of partition {run.partition}: next {utc_text(run.next_ms)}{past}"
