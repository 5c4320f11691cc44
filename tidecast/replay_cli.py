"""`tidecast replay`: what a worker would have answered to the readings of a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from tidecast.errors import HistoryError
from tidecast.options import NonNegativeOption, StoreOption, bounded
from tidecast.progress import progress
from tidecast.replay import rows_of
from tidecast.replayed import Replay, forecasts_of, write_csv, write_json
from tidecast.settings import load_settings


def replay(
    file: Annotated[str, typer.Argument(help="A CSV or CSV.gz file, as for push; - reads standard input.")],
    out: Annotated[Path | None, typer.Option(help="Write the forecasts to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, an object a line, instead of CSV.")] = False,
    non_negative: NonNegativeOption = False,
    store: StoreOption = None,
) -> None:
    """Answer a file's readings with the worker's own code, without Redis and as fast as it goes."""
    settings = bounded(load_settings(store=store), non_negative=non_negative)
    rows, done = rows_of(file), Replay()
    shown = out is not None or not sys.stdout.isatty()  # else the bar would run through the forecasts
    with _written(out) as target, progress("replaying", "readings", len(rows), shown=shown) as tell:
        made = forecasts_of(rows, settings, done, tell)
        if as_json:
            write_json(made, target)
        else:
            write_csv(made, target, settings.series)
    print(done, file=sys.stderr)


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", newline="") as file:
            yield file
    except OSError as exc:
        raise HistoryError(f"{out} cannot be written ({exc.strerror}): name another file with --out") from exc
