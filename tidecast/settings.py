"""All settings, from `tidecast.toml` and the environment; only this module reads the environment.

Values from code override `TIDECAST_*` variables, these override the file, and the file overrides the defaults. An empty
variable, or an empty text in the file, counts as not set.
Groups are nested with two underscores: `TIDECAST_WORKER__BATCH=500`.
"""

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from tidecast.errors import SettingsError
from tidecast.moments import MOMENT_FORMS, SPAN_FORMS, is_span, moment_ms, span_ms
from tidecast.settings_errors import sentence
from tidecast.unset import is_service_link, variables_of, without_empty

PREFIX = "TIDECAST_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT_FILE = Path("tidecast.toml")
LONGEST_LEASE_S = 3600.0  # a lease in Redis that ends later is ignored


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true(cls, value: object, info: ValidationInfo) -> object:
        return _no_truth(value, cls.model_fields[str(info.field_name)])


def _no_truth(value: object, field: FieldInfo) -> object:
    """Return a value; refuse true and false, which pydantic reads as 1 and 0, unless the setting is a bool."""
    if isinstance(value, bool) and field.annotation is not bool:
        raise ValueError("it is not a matter of true or false")
    return value


NEVER = "never"


def _span(value: object) -> object:
    """Check that a value is a span."""
    return _checked(value, span_ms, SPAN_FORMS)


def _span_or_never(value: object) -> object:
    """Check that a value is a span or `never`."""
    return value if value == NEVER else _checked(value, span_ms, SPAN_FORMS, f', or "{NEVER}"')


def _moment(value: object) -> object:
    """Check that a value is a span or a time in the past; a date of TOML is converted to text."""
    value = value.isoformat() if isinstance(value, date) else value
    return _checked(value, lambda text: moment_ms(text, time.time_ns() // 1_000_000), MOMENT_FORMS)


def _checked(value: object, read: Callable[[str], object], forms: str, more: str = "") -> object:
    """Return a value unchanged if it can be parsed.

    Raises:
        ValueError: the value cannot be parsed; the message has the reason and the remedy.
    """
    if not isinstance(value, str):
        raise ValueError(f"{forms}{more}")
    try:
        read(value)
    except SettingsError as exc:
        raise ValueError(f"which{str(exc).partition(repr(value))[2]}{more}") from exc
    return value


def _seconds(value: object) -> object:
    """Convert a span to seconds; a number stays as it is."""
    return span_ms(value) / 1000 if isinstance(value, str) and is_span(value) else value


def _milliseconds(value: object) -> object:
    """Convert a span to milliseconds; a number stays as it is."""
    return span_ms(value) if isinstance(value, str) and is_span(value) else value


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", value):
        raise ValueError("use letters, digits and the signs _ . - only")
    return value


Level = Annotated[float, Field(gt=0, lt=1)]
Span = Annotated[str, BeforeValidator(_span)]
SpanOrNever = Annotated[str, BeforeValidator(_span_or_never)]
Moment = Annotated[str, BeforeValidator(_moment)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Milliseconds = Annotated[int, BeforeValidator(_milliseconds)]


class WorkerSettings(_Group):
    """The settings of the worker: reading, committing and its lease."""

    name: str = Field(
        "",
        description="Who holds the lease; the same name takes its own lease back at once. "
        "Empty: host, process and a random part.",
    )
    lease_s: Seconds = Field(
        5.0, gt=0, le=LONGEST_LEASE_S, description="How long a silent worker keeps its partition, in seconds."
    )
    batch: int = Field(1000, ge=1, le=10_000, description="How many readings one commit answers at most.")
    batch_bytes: int = Field(16 * 2**20, ge=1, description="About how many bytes of readings one commit answers.")
    block_ms: Milliseconds = Field(250, ge=1, description="How long one read waits for readings, in milliseconds.")
    group: str = Field("tidecast", description="The passive consumer group that shows the lag.")
    forecasts_kept: int = Field(1_000_000, ge=1, description="How many forecasts stay in their stream at most.")
    wait_for_group: str = Field(
        "",
        description="A consumer group of `forecasts` that is waited for: what it has not acknowledged is not trimmed.",
    )
    dead_kept: int = Field(10_000, ge=1, description="How many dead letters stay in their stream at most.")
    events_kept: int = Field(10_000, ge=1, description="How many events stay in their stream at most.")
    retention_s: Seconds | None = Field(
        None, gt=0, description="How long answered readings stay in their stream, in seconds. Empty: for ever."
    )
    health_port: int | None = Field(
        None, ge=0, le=65535, description="Serve /metrics, /healthz and /readyz on this port; 0 picks a free one."
    )
    health_host: str = Field(
        "127.0.0.1",
        description="The address that the health port listens on: IPv4, IPv6 or a name; `::` is every address.",
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="How many threads share a batch's networks. Empty: one for each core."
    )


class SeriesSettings(_Group):
    """The settings of series: windows and forecasts."""

    target: str = Field("value", description="The field to forecast where no model names one.")
    rows_kept: int = Field(
        400,
        ge=2,
        le=2048,
        description="How many rows a series remembers at least: what its first model can look back on.",
    )
    max_gap: int = Field(3, ge=0, le=1000, description="How many missing steps in a row are interpolated.")
    level: float = Field(0.9, gt=0, lt=1, description="The probability with which an interval covers the reading.")
    more_levels: tuple[Level, ...] = Field((), max_length=8, description="Levels of further intervals, such as [0.5].")
    horizon: int = Field(1, ge=1, le=48, description="How many steps ahead every reading is answered.")
    minimum: float | None = Field(None, description="No forecast and no interval goes below; 0 for counts.")
    maximum: float | None = Field(None, description="No forecast and no interval goes above.")
    max_series: int = Field(
        100_000, ge=1, description="How many series a partition remembers at most; a reading of another is dead."
    )
    max_entry_bytes: int = Field(
        65_536, ge=1024, description="How many bytes a reading's fields may have together; a larger reading is dead."
    )

    @field_validator("more_levels")
    @classmethod
    def _each_once(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(levels)) < len(levels):
            raise ValueError("list each level once")
        return levels

    @field_validator("maximum")
    @classmethod
    def _above_the_minimum(cls, maximum: float | None, info: ValidationInfo) -> float | None:
        minimum = info.data.get("minimum")
        if maximum is not None and minimum is not None and maximum <= minimum:
            raise ValueError(f"use more than series.minimum, which is {minimum:g}")
        return maximum


class TrainSettings(_Group):
    """The settings of the trainer: fitting and testing a model."""

    epochs: int = Field(24, ge=1, description="How often each example is seen at most.")
    patience: int = Field(5, ge=1, description="How many epochs without a better validation loss end a training.")
    batch: int = Field(64, ge=1, description="How many examples one step of the optimiser averages.")
    learning_rate: float = Field(6e-3, gt=0, description="The step size of Adam.")
    warm_epochs: int = Field(4, ge=1, description="The epochs of a training that starts from the champion, at most.")
    warm_patience: int = Field(3, ge=1, description="The patience of such a training.")
    warm_rate: float = Field(0.45, gt=0, le=1, description="The share of the learning rate that such a training takes.")
    shared_epochs: int = Field(12, ge=0, description="The epochs of a cohort's network; 0: none is trained.")
    validation: float = Field(0.1, gt=0, lt=0.9, description="The share of the training part that stops it early.")
    test: float = Field(0.15, gt=0, lt=0.9, description="The share of the newest readings that judges a model.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the initial weights and the order of the examples.")


class RetrainSettings(_Group):
    """The settings of retraining while workers run: the times, the series and the limits."""

    every: SpanOrNever | None = Field(
        None,
        description="Retrain every so often, as 6h or 7d; `never`: keep no schedule. "
        "Empty, and `cron` too: 6h where the training packages are installed and the store can be written, else never.",
    )
    cron: str | None = Field(
        None, description='Retrain at these times, as five fields of crontab: `"0 3 * * *"`. Empty: see `every`.'
    )
    time_zone: str = Field("UTC", description="The zone of `cron`, such as `Europe/Berlin`.")
    jitter_s: Seconds = Field(
        0.0, ge=0, description="Put each run off by up to so many seconds, so that not all workers train at once."
    )
    pattern: str = Field("*", description="Which series: a pattern of their names, such as `boiler-*`.")
    span: Moment | None = Field(
        None, description="How far back readings are learned from, as 90d or 2026-03-01. Empty: to the oldest."
    )
    history: Path | None = Field(None, description="The directory of archived readings, to learn from them too.")
    min_history: int = Field(200, ge=20, description="How many readings a series needs for its first model.")
    min_new: int = Field(50, ge=8, description="How many readings a champion must not have seen yet to be due.")
    budget: Span = Field("10m", description="How long a run trains: the series that gain most come first.")
    timeout: Span = Field("1h", description="After how long a run is ended that has not ended by itself.")
    memory_mb: int = Field(4096, ge=256, description="A run that takes more resident megabytes is ended.")
    step_aside: bool = Field(
        True,
        description="A run takes only processor time that nobody else wants. "
        "`false`: as much as any other program, where it would hardly get on.",
    )
    retries: int = Field(3, ge=0, description="How often a run that failed is tried again, later each time.")
    probation: int = Field(
        100, ge=0, description="Over how many readings a new champion must not be worse than the former. 0: none."
    )

    @property
    def asks_for_schedule(self) -> bool:
        """Return whether a schedule is set; a schedule that cannot run is then an error."""
        return bool(self.cron or (self.every and self.every != NEVER))


class DashboardSettings(_Group):
    """The settings of the dashboard: its address and its token."""

    host: str = Field(
        "127.0.0.1",
        description="The address that the dashboard listens on: IPv4, IPv6 or a name; `::` is every address.",
    )
    port: int = Field(8088, ge=0, le=65535, description="Its port; 0 picks a free one.")
    token: SecretStr = Field(
        SecretStr(""),
        description="What a viewer must know, 8 characters or more; it also turns the buttons on. "
        "Needed where others reach `host`.",
    )
    max_series: int = Field(10_000, ge=1, description="How many series the dashboard holds at most: 8 kB each.")


class _File(TomlConfigSettingsSource):
    """The settings of the file."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return without_empty(super()._read_file(file_path), Settings)


class Settings(BaseSettings):
    """All settings; an unknown or invalid setting is an error, never ignored."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true(cls, value: object, info: ValidationInfo) -> object:
        return _no_truth(value, cls.model_fields[str(info.field_name)])

    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Where Redis listens.")
    redis_cluster: bool = Field(False, description="Whether `redis_url` names a server of a Redis Cluster.")
    redis_ca: Path | None = Field(
        None, description="The certificate of the authority that signed Redis' own, for `rediss://`; else the system's."
    )
    redis_timeout_s: Seconds = Field(5.0, gt=0, description="How long one command may take, in seconds.")
    namespace: Annotated[str, AfterValidator(_namespace)] = Field("", description="A prefix for every key.")
    partitions: int = Field(1, ge=1, le=256, description="How many partitions the series are spread over.")
    store: Path = Field(Path("models"), description="The directory of the models.")
    worker: WorkerSettings = WorkerSettings()
    series: SeriesSettings = SeriesSettings()
    train: TrainSettings = TrainSettings()
    retrain: RetrainSettings = RetrainSettings()
    dashboard: DashboardSettings = DashboardSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in the order of priority: code, environment, file."""
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101 - the library's own
        known = set(variables_of(cls, PREFIX))
        env_settings.env_vars = {
            name: value for name, value in env_settings.env_vars.items() if _is_set(name, value, known)
        }
        return init_settings, env_settings, _File(settings_cls, _file())


class _Told(Settings):
    """The settings from code alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return code as the only source, without the environment and a file."""
        return (init_settings,)


def told_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings that another program has passed to this one; ignore the environment and the file.

    Raises:
        SettingsError: a setting is unknown or invalid.
    """
    try:
        return _Told(**given)
    except ValidationError as exc:
        raise SettingsError(sentence(exc, Settings)) from exc


def load_settings(**given: Any) -> Settings:
    """Load the settings; a value given here overrides the other sources unless it is None.

    Raises:
        SettingsError: a setting is unknown or invalid, or the file named by TIDECAST_CONFIG is absent.
    """
    _refuse_unknown_variables()
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {named}, which is not a file: create it or unset the variable")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        raise SettingsError(sentence(exc, Settings)) from exc
    except SourceError as exc:
        raise SettingsError(
            f"a TIDECAST_ variable cannot be read: {exc}: set each setting of a group by itself"
        ) from exc
    except (OSError, ValueError) as exc:  # errors of the file: TOML and UTF-8
        raise SettingsError(f"{named or DEFAULT_FILE} cannot be read: {exc}: correct the file") from exc


def worker_name(settings: Settings) -> str:
    """Return the name of this worker: the one set, or else one that is unique to the process."""
    return settings.worker.name or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"


def worker_threads(settings: Settings) -> int:
    """Return the number of threads for computing: the number set, or else one for each usable core."""
    return settings.worker.threads or cores()


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container or `taskset` may allow only some of the cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment_with(redis_url: str, **variables: str) -> dict[str, str]:
    """Return the environment for a child process, with the password: unlike arguments, process lists do not show it.

    Args:
        redis_url: the address of Redis.
        variables: further settings by the names of their variables, without our prefix.
    """
    ours = {f"{PREFIX}{name}": value for name, value in {"REDIS_URL": redis_url, **variables}.items()}
    return {**os.environ, **ours}


def colour_wanted() -> bool:
    """Return whether programs may use colour (the NO_COLOR convention)."""
    return not os.environ.get("NO_COLOR")


def quiet_tensorflow() -> None:
    """Hide TensorFlow's messages about the machine, unless the user has set its log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE)


def _is_set(variable: str, value: str | None, known: set[str]) -> bool:
    """Return whether a variable counts: it is not an empty setting, and not a service link of Kubernetes."""
    empty = value == "" and variable.upper() in known
    return not empty and not is_service_link(PREFIX, variable, value or "")


def _refuse_unknown_variables() -> None:
    """Raise SettingsError for a variable that is not a setting; pydantic-settings ignores these."""
    fields = Settings.model_fields.items()
    known = {f"{PREFIX}{name}".upper() for name, _ in fields} | {CONFIG_VARIABLE}
    groups = {f"{PREFIX}{name}__".upper() for name, field in fields if hasattr(field.annotation, "model_fields")}
    for variable, value in sorted(os.environ.items()):
        name = variable.upper()
        if is_service_link(PREFIX, variable, value):
            continue
        if name.startswith(PREFIX) and name not in known and not name.startswith(tuple(groups)):
            raise SettingsError(f"{variable} names no setting: correct or unset it")
