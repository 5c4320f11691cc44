"""`tidecast tune`: search for the network shape that learns a series best."""

from typing import Annotated

import typer

from tidecast.cli.completion import series_in_store
from tidecast.cli.options import (
    ColumnOptions,
    InstallationOptions,
    JsonOption,
    OptionalFilesArgument,
    SeedOption,
    SourceOptions,
    with_setting,
)


def tune(
    files: OptionalFilesArgument = None,
    *,
    source: SourceOptions,
    series: Annotated[
        str | None, typer.Option(help="Tune on this series; by default the longest.", autocompletion=series_in_store)
    ] = None,
    columns: ColumnOptions,
    epochs: Annotated[int, typer.Option(help="The number of epochs of the longest trials.", min=2)] = 30,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    installation: InstallationOptions,
) -> None:
    """Search for the network shape that learns a series best; `train` then uses it."""
    readings = source.of(files or [], columns)
    from trainer.tuning import main as search

    settings = with_setting(installation.settings(), "train", "seed", seed)
    search.run(readings, series, epochs, settings, as_json=as_json)
