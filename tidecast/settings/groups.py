"""The groups of settings, and the forms of their values."""

import re
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from tidecast.errors import SettingsError
from tidecast.moments import MOMENT_FORMS, SPAN_FORMS, is_span, moment_ms, span_ms

LONGEST_LEASE_S = 3600.0  # a lease in Redis that ends later is ignored


class Group(BaseModel):
    """A group of settings: immutable, without unknown names, NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true(cls, value: object, info: ValidationInfo) -> object:
        return no_truth(value, cls.model_fields[str(info.field_name)])


def no_truth(value: object, field: FieldInfo) -> object:
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


def check_namespace(value: str) -> str:
    """Return a prefix of keys unchanged.

    Raises:
        ValueError: the prefix has other characters than letters, digits, `_`, `.` and `-`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", value):
        raise ValueError("use letters, digits and the signs _ . - only")
    return value


Level = Annotated[float, Field(gt=0, lt=1)]
Span = Annotated[str, BeforeValidator(_span)]
SpanOrNever = Annotated[str, BeforeValidator(_span_or_never)]
Moment = Annotated[str, BeforeValidator(_moment)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Milliseconds = Annotated[int, BeforeValidator(_milliseconds)]


class WorkerSettings(Group):
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


class SeriesSettings(Group):
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


class TrainSettings(Group):
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


class RetrainSettings(Group):
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


class DashboardSettings(Group):
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
