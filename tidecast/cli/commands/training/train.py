"""`tidecast train`: train, evaluate and publish a model for each series of a history."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import (
    FILES_HELP,
    ColumnOptions,
    InstallationOptions,
    JsonOption,
    PresetOption,
    with_setting,
)
from tidecast.cli.times import ago_ms
from tidecast.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOptions:
    """The recorded readings to train on, instead of files."""

    recorded: Annotated[bool, typer.Option("--recorded", help="Train on the readings that workers answered.")] = False
    since: Annotated[
        str | None,
        typer.Option(help="Start at this time of arrival: 30d (ago), 12h, 2026-03-01 or 2026-03-01T12:00Z."),
    ] = None
    history: Annotated[Path | None, typer.Option(help="Read this directory of archived readings too.")] = None

    def check(self, files: Sequence[str]) -> None:
        """Check that the user named either files or recorded readings.

        Raises:
            SettingsError: the user named both or neither, or the archive is not a folder.
        """
        if bool(files) == self.recorded:
            raise SettingsError(
                f"{'both files and' if files else 'neither files nor'} --recorded: name files to train on them, or "
                "--recorded to train on the readings that workers answered"
            )
        if (self.since or self.history) and not self.recorded:
            raise SettingsError("--since and --history select recorded readings: add --recorded")
        if self.history is not None and not self.history.is_dir():
            raise SettingsError(f"--history is {self.history}, which is not a folder: name that of `tidecast archive`")

    @property
    def since_ms(self) -> int | None:
        """Return the first time of arrival in epoch milliseconds; None: from the oldest.

        Raises:
            SettingsError: the text is not a time, or the time is in the future.
        """
        return ago_ms(self.since, "--since") if self.since else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """The shape of the network: a preset, and changes to it."""

    preset: PresetOption = None
    window: Annotated[int | None, typer.Option(help="The number of readings in the network's window.")] = None
    units: Annotated[int | None, typer.Option(help="The number of units in each layer.")] = None
    layers: Annotated[int | None, typer.Option(help="The number of stacked layers, 1 to 4.")] = None
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read windows in both directions.")] = False
    activation: Annotated[str | None, typer.Option(help="The activation: tanh or relu.")] = None

    def shape(self) -> dict[str, Any]:
        """Return the fields of the spec that differ from the defaults.

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
        return preset(self.preset) | {name: value for name, value in changes.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How to train."""

    epochs: Annotated[int | None, typer.Option(help="The largest number of passes over the data.")] = None
    season: Annotated[int | None, typer.Option(help="The season length in rows; by default detected in the data.")] = (
        None
    )
    force: Annotated[bool, typer.Option("--force", help="Train series again that were trained on this history.")] = (
        False
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the history.")] = False


def train(
    files: Annotated[list[str] | None, typer.Argument(help=FILES_HELP)] = None,
    *,
    source: RecordedOptions,
    columns: ColumnOptions,
    network: NetworkOptions,
    training: TrainingOptions,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Train a model for each series of a history, evaluate it and publish it."""
    source.check(files or [])
    since_ms = source.since_ms
    from trainer import main as program  # imported late: it takes seconds

    job = program.TrainJob(
        sources=tuple(files or ()),
        recorded=program.Recorded(since_ms, source.history) if source.recorded else None,
        season=training.season,
        shape=network.shape(),
        force=training.force,
        dry_run=training.dry_run,
        **columns.as_arguments(),
    )
    settings = with_setting(installation.settings(), "train", "epochs", training.epochs)
    if not program.run(job, settings, as_json=as_json):
        raise typer.Exit(SOME_REFUSED)
