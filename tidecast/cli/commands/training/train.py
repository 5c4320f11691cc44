"""`tidecast train`: train, evaluate and publish a model for each series of a history."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import (
    FILES_HELP,
    ColumnOptions,
    InstallationOptions,
    JsonOption,
    PresetOption,
    SchedulerOption,
    SeedOption,
    SourceOptions,
    with_setting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """The shape of the network: a preset, and changes to it."""

    preset: PresetOption = None
    window: Annotated[int | None, typer.Option(help="The number of readings in the network's window.")] = None
    units: Annotated[int | None, typer.Option(help="The number of units in each layer.")] = None
    layers: Annotated[int | None, typer.Option(help="The number of stacked layers, 1 to 4.")] = None
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read windows in both directions.")] = False
    activation: Annotated[str | None, typer.Option(help="The activation: tanh or relu.")] = None

    def shape(self) -> dict[str, Any] | None:
        """Return the fields of the spec that differ from the defaults; None if no option is given.

        Raises:
            SettingsError: the preset does not exist.
        """
        from tidecast.models.presets import preset

        changes = {
            "window": self.window,
            "units": self.units,
            "layers": self.layers,
            "bidirectional": self.bidirectional or None,
            "activation": self.activation,
        }
        fields = preset(self.preset) | {name: value for name, value in changes.items() if value is not None}
        return fields if fields or self.preset else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The options of a training."""

    epochs: Annotated[int | None, typer.Option(help="The largest number of passes over the data.")] = None
    season: Annotated[int | None, typer.Option(help="The season length in rows; by default detected in the data.")] = (
        None
    )
    seed: SeedOption = None
    scheduler: SchedulerOption = None
    force: Annotated[bool, typer.Option("--force", help="Train series again that were trained on this history.")] = (
        False
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the history.")] = False


def train(
    files: Annotated[list[str] | None, typer.Argument(help=FILES_HELP)] = None,
    *,
    source: SourceOptions,
    columns: ColumnOptions,
    network: NetworkOptions,
    training: TrainingOptions,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Train a model for each series of a history, evaluate it and publish it."""
    readings = source.of(files or [], columns)
    from trainer import main as program  # imported late: it takes seconds

    job = program.TrainJob(
        readings,
        season=training.season,
        shape=network.shape(),
        force=training.force,
        dry_run=training.dry_run,
        scheduler=training.scheduler or "",
    )
    settings = with_setting(installation.settings(), "train", "epochs", training.epochs)
    settings = with_setting(settings, "train", "seed", training.seed)
    settings = with_setting(settings, "retrain", "scheduler", training.scheduler)
    if not program.run(job, settings, as_json=as_json):
        raise typer.Exit(SOME_REFUSED)
