"""`tidecast replay`: forecast the readings of a file as a worker would have done."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import ColumnOptions, FileArgument, NonNegativeOption, StoreOption, with_minimum
from tidecast.errors import HistoryError
from tidecast.files.history import Histories
from tidecast.files.readings import in_order, readings_in
from tidecast.files.refusal import print_notes, print_refused
from tidecast.outputs import check_file
from tidecast.progress import progress
from tidecast.settings import Settings, load_settings
from tidecast.tools.replay import ReplayCounts, forecasts_of, write_csv, write_json


def replay(
    file: FileArgument,
    *,
    out: Annotated[Path | None, typer.Option(help="Write the forecasts to this file.")] = None,
    columns: ColumnOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, one object per line, instead of CSV.")] = False,
    non_negative: NonNegativeOption = False,
    store: StoreOption = None,
) -> None:
    """Forecast a file's readings with the worker's code, without Redis and as fast as possible."""
    from tidecast.log import begin_log  # imported late: --help does not need it

    settings = with_minimum(load_settings(store=store), non_negative=non_negative)
    begin_log(settings.log_level, settings.log_format)
    if out is not None:
        check_file("--out", out)
    histories = readings_in(file, columns.selection(settings.series.target), columns.time_zone)
    print_notes(histories.all_notes)
    print_refused(histories.refused)
    replayed = _write(out, histories, _with_target(settings, histories), as_json=as_json)
    print(replayed, file=sys.stderr)
    if histories.refused or replayed.newest is not None:
        raise typer.Exit(SOME_REFUSED)


def _write(out: Path | None, histories: Histories, settings: Settings, *, as_json: bool) -> ReplayCounts:
    """Write the forecasts to a file, or to standard output; return how the readings were answered."""
    replayed = ReplayCounts()
    shown = out is not None or not sys.stdout.isatty()  # otherwise the bar would mix with the forecasts
    count = sum(map(len, histories.accepted))
    with _opened(out) as file_out, progress("replaying", "readings", count, shown=shown) as report_progress:
        forecasts = forecasts_of(in_order(histories.accepted), settings, replayed, report_progress)
        if as_json:
            write_json(forecasts, file_out)
        else:
            write_csv(forecasts, file_out, settings.series)
    return replayed


def _with_target(settings: Settings, histories: Histories) -> Settings:
    """Set the target to the file's, as a backtest does, if the readings do not have the target of the settings."""
    fields = {history.features[0] for history in histories.accepted}
    if not fields or settings.series.target in fields:
        return settings
    series = settings.series.model_copy(update={"target": min(fields)})
    return settings.model_copy(update={"series": series})


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", newline="") as file:
            yield file
    except OSError as exc:
        raise HistoryError(f"{out} cannot be written ({exc.strerror}): name another file with --out") from exc
