"""Options that several commands share, and functions that parse them."""

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from tidecast.cli.completion import series_in_store
from tidecast.errors import SettingsError
from tidecast.moments import epoch_ms, moment_ms
from tidecast.settings import Settings
from tidecast.settings.errors import option_sentence

LAST_SEQ = 2**64 - 1  # the highest sequence number of an entry id
_ENTRY_ID = re.compile(r"[0-9]{1,20}(?:-[0-9]{1,20})?")

RedisOption = Annotated[str | None, typer.Option("--redis", help="The address of Redis, such as redis://host:port/db.")]
NamespaceOption = Annotated[str | None, typer.Option(help="The prefix of every key.")]
StoreOption = Annotated[Path | None, typer.Option(help="The directory of the models.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
SeriesArgument = Annotated[str, typer.Argument(help="The name of a series.", autocompletion=series_in_store)]
OneSeriesArgument = Annotated[str | None, typer.Argument(help="Only this series.", autocompletion=series_in_store)]
FilesArgument = Annotated[
    list[str], typer.Argument(help="CSV, CSV.gz or Parquet files or directories; - reads standard input.")
]
FileArgument = Annotated[
    str, typer.Argument(help="A CSV, CSV.gz or Parquet file or a directory, as for train; - reads standard input.")
]
SeriesColumnOption = Annotated[
    str | None, typer.Option(help="The column that names the series; by default series, unique_id, name or id.")
]
TargetOption = Annotated[str | None, typer.Option(help="The column to forecast.")]
FeaturesOption = Annotated[
    str | None, typer.Option(help="Further columns to use, separated by commas; or all, or none.")
]
PresetOption = Annotated[
    str | None, typer.Option(help="The preset of the networks: default, tutorial, revin, residual or seasonal.")
]
TimeZoneOption = Annotated[str | None, typer.Option(help="The time zone of times without an offset; by default UTC.")]
NonNegativeOption = Annotated[
    bool, typer.Option("--non-negative", help="Keep forecasts and intervals at 0 or above, for counts.")
]
VersionOption = Annotated[int | None, typer.Option(help="The version of the model; by default the champion.")]
OutOption = Annotated[Path, typer.Option(help="The folder for the output.")]


SinceOption = Annotated[
    str | None, typer.Option(help="Start at this time of arrival: 30d, 12h, 2026-03-01 or 2026-03-01T12:00Z.")
]
FollowOption = Annotated[
    str,
    typer.Option(
        help="Start at: 1h (ago), 2026-03-01, 2026-03-01T12:00Z, an entry id, 0 (the oldest) or $ (the next)."
    ),
]
HistoryOption = Annotated[Path | None, typer.Option(help="The directory of archived readings to read too.")]


def bounded(settings: Settings, *, non_negative: bool) -> Settings:
    """Return the settings, with a minimum of 0 if `non_negative` is set."""
    if not non_negative:
        return settings
    return settings.model_copy(update={"series": settings.series.model_copy(update={"minimum": 0.0})})


def with_setting(settings: Settings, group: str, name: str, value: Any) -> Settings:
    """Return the settings with one of them changed to the value of an option; None leaves it unchanged.

    Raises:
        SettingsError: the value is out of range.
    """
    if value is None:
        return settings
    former = getattr(settings, group)
    try:
        changed = type(former)(**{**former.model_dump(), name: value})
    except ValidationError as exc:
        raise SettingsError(option_sentence(exc, type(former))) from exc
    return settings.model_copy(update={group: changed})


def ago_ms(text: str, name: str = "time") -> int:
    """Parse a time in the past, see `moment_ms`; return epoch milliseconds.

    Raises:
        SettingsError: the text is not a time, or the time is in the future.
    """
    return moment_ms(text, _now_ms(), name)


def since_id(text: str, name: str = "--since") -> str:
    """Return the entry id after which to follow a stream; the text is a time or an entry id.

    Raises:
        SettingsError: the text is neither.
    """
    if text in ("$", "now"):
        return "$"
    if _ENTRY_ID.fullmatch(text):
        if text.isdecimal():
            epoch_ms(text, name)
        return text
    try:
        ms = moment_ms(text, _now_ms(), name)
    except SettingsError as exc:
        raise SettingsError(f"{exc}; or an entry id, 0 for the oldest, $ for the next") from exc
    return f"{ms - 1}-{LAST_SEQ}" if ms else "0"  # includes entries of that millisecond


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def names(columns: str | None) -> tuple[str, ...]:
    """Split the column names of an option at commas."""
    return tuple(columns.split(",")) if columns else ()
