"""The options that several commands share."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from tidecast.completion import series_in_store
from tidecast.errors import SettingsError
from tidecast.settings import Settings

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

RedisOption = Annotated[str | None, typer.Option("--redis", help="Where Redis listens, as redis://host:port/db.")]
NamespaceOption = Annotated[str | None, typer.Option(help="The prefix of every key.")]
StoreOption = Annotated[Path | None, typer.Option(help="The directory of the models.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text for people.")]
SeriesArgument = Annotated[str, typer.Argument(help="The name of a series.", autocompletion=series_in_store)]
OneSeriesArgument = Annotated[str | None, typer.Argument(help="Only this series.", autocompletion=series_in_store)]
FilesArgument = Annotated[
    list[str], typer.Argument(help="CSV, CSV.gz or Parquet files or directories; - reads standard input.")
]
TargetOption = Annotated[str | None, typer.Option(help="The column to forecast.")]
FeaturesOption = Annotated[str | None, typer.Option(help="Further columns to learn from, with commas; all: every.")]
PresetOption = Annotated[
    str | None, typer.Option(help="What the networks see and learn: default, tutorial, revin, skip or seasonal.")
]
TimeZoneOption = Annotated[str | None, typer.Option(help="The zone of times without an offset; by default UTC.")]
NonNegativeOption = Annotated[
    bool, typer.Option("--non-negative", help="No forecast and no interval falls below 0: for counts.")
]
VersionOption = Annotated[int | None, typer.Option(help="By default the champion.")]
OutOption = Annotated[Path, typer.Option(help="The folder that it goes to.")]


SinceOption = Annotated[str | None, typer.Option(help="How far back, by the time of arrival, as 30d, 12h or 90m.")]
HistoryOption = Annotated[Path | None, typer.Option(help="The directory of archived readings, to read them too.")]


def bounded(settings: Settings, *, non_negative: bool) -> Settings:
    """The settings with what an option says of the bounds."""
    if not non_negative:
        return settings
    return settings.model_copy(update={"series": settings.series.model_copy(update={"minimum": 0.0})})


def span_ms(text: str) -> int:
    """Read a span such as `7d`, `12h`, `90m` or `45s`; returns milliseconds.

    Raises:
        SettingsError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise SettingsError(f"span {text!r} is none: write a number with its unit, as 7d, 12h, 90m or 45s")
    return int(found[1]) * _UNITS_MS[found[2]]


def ago_ms(text: str) -> int:
    """When a span such as `7d` ago was, in epoch milliseconds."""
    return round(time.time() * 1000) - span_ms(text)


def names(columns: str | None) -> tuple[str, ...]:
    """The columns that an option lists."""
    return tuple(columns.split(",")) if columns else ()
