"""Options that several commands share: single ones, and groups of them for `tidecast.cli.groups`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from tidecast.cli.completion import series_in_store
from tidecast.cli.times import ago_ms
from tidecast.errors import SettingsError
from tidecast.files.layout import Selection
from tidecast.settings import Settings, load_settings
from tidecast.settings.errors import option_sentence

if TYPE_CHECKING:
    from tidecast.client import Client
    from trainer.data.source import Source
    from trainer.reports.target import Request

FILES_HELP = "CSV, CSV.gz or Parquet files, or directories of them; - is standard input."

StoreOption = Annotated[Path | None, typer.Option(help="The directory of the models.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
SeriesArgument = Annotated[str, typer.Argument(help="The name of a series.", autocompletion=series_in_store)]
OneSeriesArgument = Annotated[
    str | None, typer.Argument(help="The name of a series; by default all.", autocompletion=series_in_store)
]
OptionalFilesArgument = Annotated[list[str] | None, typer.Argument(help=FILES_HELP)]
FileArgument = Annotated[
    str, typer.Argument(help="A CSV, CSV.gz or Parquet file, or a directory of them; - is standard input.")
]
PresetOption = Annotated[
    str | None, typer.Option(help="The preset of the networks: default, tutorial, revin, residual or seasonal.")
]
SeedOption = Annotated[
    int | None, typer.Option(help="The seed of the initial weights, the order of the examples and own experts.")
]
HorizonOption = Annotated[
    int | None, typer.Option(help="How many steps ahead to forecast; by default the setting series.horizon.")
]
NonNegativeOption = Annotated[
    bool, typer.Option("--non-negative", help="Keep forecasts and intervals at 0 or above, for counts.")
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Train on the workers of this scheduler of Dask, such as tcp://host:8786.")
]
HealthPortOption = Annotated[
    int | None, typer.Option(help="Serve metrics and health probes on this port; 0 picks a free one.")
]
VersionOption = Annotated[int | None, typer.Option(help="The version of the model; by default the champion.")]
FollowOption = Annotated[
    str,
    typer.Option(
        help="Start at: 1h (ago), 2026-03-01, 2026-03-01T12:00Z, an entry id, 0 (the oldest) or $ (the next)."
    ),
]
CountOption = Annotated[int | None, typer.Option("-n", help="Exit after this many.", min=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The Redis and the namespace of the streams."""

    redis: Annotated[str | None, typer.Option(help="The address of Redis, such as redis://host:port/db.")] = None
    namespace: Annotated[str | None, typer.Option(help="The prefix of all keys.")] = None

    def settings(self) -> Settings:
        """Load the settings with these options.

        Raises:
            SettingsError: a setting is invalid.
        """
        return load_settings(redis_url=self.redis, namespace=self.namespace)

    def client(self) -> "Client":
        """Return a new client of the streams."""
        from tidecast.client import Client

        return Client(self.redis, namespace=self.namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationOptions(StreamOptions):
    """The streams and the model store of an installation."""

    store: StoreOption = None

    def settings(self) -> Settings:
        """Load the settings with these options.

        Raises:
            SettingsError: a setting is invalid.
        """
        return load_settings(redis_url=self.redis, namespace=self.namespace, store=self.store)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOptions:
    """The columns to read from a file, and the zone of its times."""

    target: Annotated[str | None, typer.Option(help="The column to forecast.")] = None
    features: Annotated[
        str | None, typer.Option(help="Further columns to use, separated by commas; or all, or none.")
    ] = None
    series_column: Annotated[
        str | None, typer.Option(help="The column that names the series; by default series, unique_id, name or id.")
    ] = None
    time_zone: Annotated[str | None, typer.Option(help="The time zone of times without an offset; by default UTC.")] = (
        None
    )

    def as_arguments(self) -> dict[str, Any]:
        """Return the options by the names that the jobs of the programs have for them."""
        return {
            "target": self.target,
            "features": self._features(),
            "series_column": self.series_column,
            "time_zone": self.time_zone,
        }

    def selection(self, likely_target: str) -> Selection:
        """Return the columns of readings to push or to replay: by default all numeric ones.

        Args:
            likely_target: the setting `series.target`.
        """
        return Selection(self.target, self._features(), self.series_column, likely_target, all_by_default=True)

    def _features(self) -> tuple[str, ...]:
        return tuple(self.features.split(",")) if self.features else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """The recorded readings to use instead of files, and what is known ahead of the readings."""

    recorded: Annotated[
        bool, typer.Option("--recorded", help="Use the readings that workers answered, instead of files.")
    ] = False
    since: Annotated[
        str | None,
        typer.Option(help="Start at this time of arrival: 30d (ago), 12h, 2026-03-01 or 2026-03-01T12:00Z."),
    ] = None
    history: Annotated[Path | None, typer.Option(help="Read this directory of archived readings too.")] = None
    future: Annotated[
        list[str] | None,
        typer.Option(help="A file with values known ahead: a time, a column for each field; can be repeated."),
    ] = None

    def of(self, files: Sequence[str], columns: ColumnOptions, naming: str = "name files") -> "Source":
        """Return the source of readings; `naming` is how the command takes files, for an error.

        Raises:
            SettingsError: the user named both files and recorded readings or neither, or a wrong time or archive.
        """
        if files and self.recorded:
            raise SettingsError("files and --recorded exclude each other: leave out one of them")
        if not files and not self.recorded:
            raise SettingsError(
                f"no history is named: {naming}, or add --recorded for the readings that workers answered"
            )
        if (self.since or self.history) and not self.recorded:
            raise SettingsError("--since and --history select recorded readings: add --recorded")
        if self.history is not None and not self.history.is_dir():
            raise SettingsError(
                f"--history is {self.history}, which is not a directory: name that of `tidecast archive`"
            )

        since_ms = ago_ms(self.since, "--since") if self.since else None
        from trainer.data.source import Recorded, Source

        recorded = Recorded(since_ms, self.history) if self.recorded else None
        return Source(tuple(files), recorded, **columns.as_arguments(), future=tuple(self.future or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """A version of a model, how to read the history to apply it to, and the form of the result."""

    source: SourceOptions
    columns: ColumnOptions
    version: VersionOption = None
    out: Annotated[Path, typer.Option(help="The directory for the page and its pictures.")] = Path("out/reports")
    as_json: JsonOption = False
    horizon: HorizonOption = None
    installation: InstallationOptions

    def settings(self) -> Settings:
        """Load the settings with these options.

        Raises:
            SettingsError: a setting is invalid.
        """
        return with_setting(self.installation.settings(), "series", "horizon", self.horizon)

    def request(self, series: str, files: Sequence[str] | None) -> "Request":
        """Return the request for the trainer's report on a series, over files or recorded readings.

        Raises:
            SettingsError: the options name no history, or the first argument is a file.
        """
        if not files and not self.source.recorded and Path(series).exists():
            raise SettingsError(f"{series!r} is a file, and no series is named: name the series first, then its files")
        from trainer.reports.target import Request

        return Request(series, self.source.of(files or [], self.columns), self.version)


def with_minimum(settings: Settings, *, non_negative: bool) -> Settings:
    """Return the settings, with a minimum of at least 0 if `non_negative` is set.

    Raises:
        SettingsError: the maximum of the settings is not above 0.
    """
    if not non_negative:
        return settings
    series = settings.series
    if series.maximum is not None and series.maximum <= 0:
        raise SettingsError(
            f"--non-negative contradicts the setting series.maximum, which is {series.maximum:g}: leave out one of them"
        )
    minimum = max(0.0, series.minimum or 0.0)
    return settings.model_copy(update={"series": series.model_copy(update={"minimum": minimum})})


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
