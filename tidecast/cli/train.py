"""`tidecast train`: train, evaluate and publish a model for each series of a history."""

from pathlib import Path
from typing import Annotated

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import (
    FeaturesOption,
    HistoryOption,
    JsonOption,
    NamespaceOption,
    PresetOption,
    RedisOption,
    SeriesColumnOption,
    SinceOption,
    StoreOption,
    TargetOption,
    TimeZoneOption,
    ago_ms,
    names,
    with_setting,
)
from tidecast.errors import SettingsError
from tidecast.settings import load_settings


def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="CSV, CSV.gz or Parquet files or directories; - reads standard input."),
    ] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="Train on the readings that workers answered.")] = False,
    since: SinceOption = None,
    history: HistoryOption = None,
    target: TargetOption = None,
    features: FeaturesOption = None,
    series_column: SeriesColumnOption = None,
    preset: PresetOption = None,
    window: Annotated[int | None, typer.Option(help="The number of readings in the network's window.")] = None,
    units: Annotated[int | None, typer.Option(help="The width of each layer.")] = None,
    layers: Annotated[int | None, typer.Option(help="The number of stacked layers, 1 to 4.")] = None,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read windows both ways.")] = False,
    activation: Annotated[str | None, typer.Option(help="tanh or relu.")] = None,
    epochs: Annotated[int | None, typer.Option(help="The largest number of passes over the data.")] = None,
    season: Annotated[
        int | None, typer.Option(help="The season length in rows; by default detected in the data.")
    ] = None,
    time_zone: TimeZoneOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train series again that were trained on this history.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the history.")] = False,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    store: StoreOption = None,
) -> None:
    """Train a model for each series of a history, evaluate it and publish it."""
    from tidecast.models.presets import preset as fields_of

    _check_sources(files, recorded=recorded, narrowed=bool(since or history))
    _check_archive(history)
    since_ms = ago_ms(since, "--since") if since else None
    from trainer import main as program  # imported late: it takes seconds

    named = {
        "window": window,
        "units": units,
        "layers": layers,
        "bidirectional": bidirectional or None,
        "activation": activation,
    }
    shape = fields_of(preset) | {name: value for name, value in named.items() if value is not None}
    settings = load_settings(redis_url=redis, namespace=namespace, store=store)
    settings = with_setting(settings, "train", "epochs", epochs)
    all_trained = program.run(
        program.TrainJob(
            sources=tuple(files or ()),
            recorded=program.Recorded(since_ms, history) if recorded else None,
            target=target,
            features=names(features),
            series_column=series_column,
            time_zone=time_zone,
            season=season,
            shape={name: value for name, value in shape.items() if value is not None},
            force=force,
            dry_run=dry_run,
        ),
        settings,
        as_json=as_json,
    )
    if not all_trained:
        raise typer.Exit(SOME_REFUSED)


def _check_sources(files: list[str] | None, *, recorded: bool, narrowed: bool) -> None:
    if bool(files) == recorded:
        raise SettingsError(
            f"{'both files and' if recorded else 'neither files nor'} --recorded: name files to train on them, or "
            "--recorded to train on the readings that workers answered"
        )
    if narrowed and not recorded:
        raise SettingsError("--since and --history say what to read of the recorded readings: add --recorded")


def _check_archive(history: Path | None) -> None:
    if history is not None and not history.is_dir():
        raise SettingsError(f"--history is {history}, which is not a folder: name that of `tidecast archive`")
