"""`tidecast status`: a table that follows an installation, or one look at it."""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidecast.cli.options import JsonOption, NamespaceOption, RedisOption, StoreOption
from tidecast.connection import connect
from tidecast.moments import utc_text
from tidecast.settings import Settings, load_settings
from tidecast.tools.status import PartitionStatus, Status, Watch


def status(
    once: Annotated[bool, typer.Option("--once", help="Look once, and end; so it is where no terminal is.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks, which tell the rates.", min=0.1)] = 1.0,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    store: StoreOption = None,
) -> None:
    """Show how partitions, workers, series and retraining do, again and again until interrupted."""
    settings = load_settings(redis_url=redis, namespace=namespace, store=store)
    console = Console()
    looks = _looks(settings, interval)
    first = next(looks)
    if as_json:
        print(json.dumps(first.as_dict(), indent=1))
    elif once or not console.is_terminal:
        console.print(page(first))
    else:
        with Live(page(first), console=console, auto_refresh=False) as live:
            for found in looks:
                live.update(page(found), refresh=True)


def _looks(settings: Settings, interval_s: float) -> Iterator[Status]:
    """One look after the other, each with the rates since the one before."""
    with connect(settings) as redis:
        watch = Watch(redis, settings)
        watch.look()
        while True:
            time.sleep(interval_s)
            yield watch.look()


def page(found: Status) -> Group:
    """A look for people."""
    table = Table("partition", "worker", "series", "answered", "a second", "lag", "behind", "dead", "lost")
    for one in found.partitions:
        table.add_row(*_row(one), style="" if one.owner else "red")
    return Group(table, *(Text(line) for line in _lines(found)))


def _row(one: PartitionStatus) -> Iterator[str]:
    yield from (str(one.partition), one.owner or "nobody", f"{'about ' * one.estimated}{one.series}")
    yield from (str(one.answered), "" if one.rate is None else f"{one.rate:.0f}")
    yield from ("?" if one.lag is None else str(one.lag), f"{one.behind_s:.1f} s", str(one.dead), str(one.lost))


def _lines(found: Status) -> Iterator[str]:
    sums: dict[str, Any] = found.as_dict()
    yield f"{utc_text(found.at_ms)}  {len(found.workers)} workers: {', '.join(found.workers) or 'nobody'}"
    yield f"{sums['series']} series, {found.champions} with a model, {sums['dead']} dead letters"
    if not any(one.run and one.run.next_ms for one in found.partitions):
        yield f"retraining: {found.schedule}; no run is planned yet"
    for one in found.partitions:
        if (run := one.run) and run.next_ms:
            last = f", the last {run.state} {utc_text(run.ended_ms)}: {run.detail}" if run.ended_ms else ""
            past = last or (f", {run.state}" if run.state else "")
            yield f"retraining of partition {one.partition}: next {utc_text(run.next_ms)}{past}"
