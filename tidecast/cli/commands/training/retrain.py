"""`tidecast retrain`: retrain by hand or on schedule."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tidecast.cli.completion import series_in_store
from tidecast.cli.exit_codes import FAILED
from tidecast.cli.options import InstallationOptions, JsonOption, SeedOption, with_setting
from tidecast.connection.known_series import answered_series
from tidecast.connection.partitions import at_present
from tidecast.errors import HistoryError, SettingsError
from tidecast.outputs import check_folder
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from tidecast.wire import layout_of


def retrain(
    series: Annotated[
        list[str] | None, typer.Argument(help="Retrain only these series, due or not.", autocompletion=series_in_store)
    ] = None,
    *,
    daemon: Annotated[bool, typer.Option("--daemon", help="Run the schedule, without answering readings.")] = False,
    health_port: Annotated[
        int | None,
        typer.Option(help="With --daemon, serve metrics and probes on this port; 0 picks a free one."),
    ] = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Retrain all due series now; with --daemon, run the schedule (Ctrl+C to stop)."""
    settings = with_setting(installation.settings(), "worker", "health_port", health_port)
    settings = with_setting(settings, "train", "seed", seed)
    if not daemon:
        if health_port is not None:
            raise SettingsError("--health-port works only with --daemon: leave it out, or add --daemon")
        _retrain_now(settings, series or [], as_json=as_json)
        return
    if series or as_json:
        raise SettingsError("--daemon runs the schedule of all series: leave the series and --json out")
    from worker.retraining.main import run

    run(settings, health_port=health_port)


def _check_known(settings: Settings, series: list[str]) -> None:
    """Check that a worker has answered a reading of each named series: otherwise training has no data.

    Raises:
        HistoryError: a series is unknown.
    """
    from tidecast.connection import connect

    if settings.retrain.history:  # the readings may all be archived
        return
    with connect(settings) as redis:
        settings = at_present(redis, settings)
        for name in series:
            state = layout_of(settings).keys_for(name).state
            if not redis.hexists(state, name):
                known = list(answered_series(redis, settings))
                remedy = did_you_mean(name, known) if known else "check its name"
                raise HistoryError(f"no worker has answered a reading of series {name!r}: {remedy}")


def _retrain_now(settings: Settings, series: list[str], *, as_json: bool) -> None:
    """Train in each partition, or in those of the series, and print the sum.

    Raises:
        typer.Exit: the training of a partition failed.
    """
    from tidecast.connection import check_address
    from tidecast.log import begin_log
    from worker.retraining.child import RunReport, check_installed, run

    check_address(settings)
    check_installed()
    check_folder("the store", settings.store)
    begin_log(settings.log_level, settings.log_format)
    _check_known(settings, series)
    total = RunReport()
    failures = []
    for partition, names in sorted(_by_partition(settings, series).items()):
        result = run(settings, partition, names, force=bool(names))
        if result.summary:
            total += result.summary
        else:
            failures.append(f"partition {partition}: {result.failure}")
    print(json.dumps(asdict(total) | {"failures": failures}) if as_json else total)
    for failure in failures:
        print(f"tidecast: retraining failed, {failure}", file=sys.stderr)
    if failures:
        raise typer.Exit(FAILED)


def _by_partition(settings: Settings, series: list[str]) -> dict[int, list[str]]:
    """Return the series of each partition that has some of them; without series, all partitions."""
    from tidecast.connection import connect

    with connect(settings) as redis:
        layout = layout_of(at_present(redis, settings))
    if not series:
        return {partition: [] for partition in range(layout.partitions)}
    chosen: dict[int, list[str]] = {}
    for name in dict.fromkeys(series):
        chosen.setdefault(layout.partition_of(name), []).append(name)
    return chosen
