"""`tidecast tune`: search for the network shape that learns a series best."""

from typing import Annotated

import typer

from tidecast.cli.completion import series_in_store
from tidecast.cli.options import ColumnOptions, FilesArgument, JsonOption, StoreOption
from tidecast.settings import load_settings


def tune(
    files: FilesArgument,
    *,
    series: Annotated[
        str | None, typer.Option(help="Tune on this series; by default the longest.", autocompletion=series_in_store)
    ] = None,
    columns: ColumnOptions,
    epochs: Annotated[int, typer.Option(help="The number of epochs of the longest trials.", min=2)] = 30,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Search for the network shape that learns a series best; `train` then uses it."""
    from trainer.tuning import main as search

    settings = load_settings(store=store)
    sources = search.Sources(tuple(files), **columns.as_arguments())
    search.run(sources, series, epochs, settings, as_json=as_json)
