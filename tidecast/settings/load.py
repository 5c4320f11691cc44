"""All settings, from `tidecast.toml` and the environment; only this module reads the environment.

Values from code override `TIDECAST_*` variables, these override the file, and the file overrides the defaults. An empty
variable, or an empty text in the file, counts as not set.
Groups are nested with two underscores: `TIDECAST_WORKER__BATCH=500`.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from tidecast.errors import SettingsError
from tidecast.settings.errors import sentence, variable_sentence
from tidecast.settings.groups import (
    AnomalySettings,
    DashboardSettings,
    ExpertSettings,
    ForecastsSettings,
    SeriesSettings,
    WorkerSettings,
)
from tidecast.settings.known import KnownSettings
from tidecast.settings.notify import NotifySettings
from tidecast.settings.training import BucketSettings, RetrainSettings, TrainSettings
from tidecast.settings.unset import is_service_link, variables_of, without_empty
from tidecast.settings.values import Duration, as_written, check_namespace, no_truth
from tidecast.suggestions import listed, most_similar

PREFIX = "TIDECAST_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT_FILE = Path("tidecast.toml")


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
        return no_truth(value, cls.model_fields[str(info.field_name)])

    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="The address of Redis.")
    redis_cluster: bool = Field(False, description="Whether `redis_url` names a server of a Redis Cluster.")
    redis_ca: Path | None = Field(
        None,
        description="For `rediss://`: the certificate of the authority that signed Redis' certificate. "
        "Empty: the system's authorities.",
    )
    redis_timeout: Duration = Field(as_written("5s"), gt=0, description="How long one command to Redis may take.")
    namespace: Annotated[str, AfterValidator(check_namespace)] = Field("", description="A prefix for every key.")
    partitions: int = Field(
        1, ge=1, le=256, description="The first number of partitions; `tidecast repartition` changes it."
    )
    store: Path = Field(Path("models"), description="The directory of the models.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe lines in the log: debug, info, warning or error."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="The form of the log's lines: text, json, or auto, which is text on a terminal only."
    )
    worker: WorkerSettings = WorkerSettings()
    series: SeriesSettings = SeriesSettings()
    anomalies: AnomalySettings = AnomalySettings()
    experts: ExpertSettings = ExpertSettings()
    forecasts: ForecastsSettings = ForecastsSettings()
    known: KnownSettings = KnownSettings()
    bucket: BucketSettings = BucketSettings()
    train: TrainSettings = TrainSettings()
    retrain: RetrainSettings = RetrainSettings()
    notify: NotifySettings = NotifySettings()
    dashboard: DashboardSettings = DashboardSettings()
    _former_partitions: tuple[int, ...] = PrivateAttr(())

    @property
    def former_partitions(self) -> tuple[int, ...]:
        """Return how many partitions there were before each repartition, the first number first."""
        return self._former_partitions

    def with_partitions(self, numbers: Sequence[int]) -> "Settings":
        """Return the settings with the numbers of partitions that Redis stores, the present one last."""
        *former, present = numbers
        settings = self.model_copy(update={"partitions": present})
        settings._former_partitions = tuple(former)
        return settings

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
            name: value
            for name, value in env_settings.env_vars.items()
            if name.startswith(PREFIX.lower()) and _is_set(name, value, known)  # the library reads all for each group
        }
        return init_settings, env_settings, _File(settings_cls, _file())


class _Passed(Settings):
    """The settings from code alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return code as the only source, without the environment and a file."""
        return (init_settings,)


def passed_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings that another program has passed to this one; ignore the environment and the file.

    Raises:
        SettingsError: a setting is unknown or invalid.
    """
    try:
        return _Passed(**given)
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
        raise SettingsError(variable_sentence(os.environ, PREFIX, Settings)) from exc
    except (OSError, ValueError) as exc:  # errors of the file: TOML and UTF-8
        raise SettingsError(f"{named or DEFAULT_FILE} cannot be read: {exc}: correct the file") from exc


def worker_name(settings: Settings) -> str:
    """Return the name of this worker: the one set, or else one that is unique to the process."""
    return settings.worker.name or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"


def with_worker_name(settings: Settings) -> Settings:
    """Return the settings with the name of this worker, so that all parts of the process have the same one."""
    named = settings.worker.model_copy(update={"name": worker_name(settings)})
    return settings.model_copy(update={"worker": named})


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


def environment_of_one_thread() -> dict[str, str]:
    """Return the environment for a child process whose numeric libraries are to use one thread."""
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(libraries, "1")}


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
            raise SettingsError(f"{variable} names no setting: {_meant(name.removeprefix(PREFIX))}")


def _meant(ending: str) -> str:
    """Return the variables that may be meant by one that names no setting; all are without their prefix."""
    inner = {name: getattr(field.annotation, "model_fields", None) for name, field in Settings.model_fields.items()}
    names = [f"{name}__{each}".upper() if each else name.upper() for name in inner for each in inner[name] or ("",)]
    longer = [f"{PREFIX}{name}" for name in names if name.startswith(f"{ending}_")]
    if longer:
        return f"use one of {listed(longer)}"
    similar = most_similar(ending, names)
    return f"did you mean {PREFIX}{similar}?" if similar else "correct or unset it"
