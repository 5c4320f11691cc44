"""The groups of settings of workers, series and the dashboard; in Python a duration is in seconds, a size in bytes."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from tidecast.settings.patterns import matches
from tidecast.settings.values import Duration, Level, Size, as_written, no_truth

LONGEST_LEASE_S = 3600.0  # a lease in Redis that ends later is ignored


class Group(BaseModel):
    """A group of settings: immutable, without unknown names, NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true(cls, value: object, info: ValidationInfo) -> object:
        return no_truth(value, cls.model_fields[str(info.field_name)])


class WorkerSettings(Group):
    """The settings of the worker: reading, committing and its lease."""

    name: str = Field(
        "",
        description="The worker's name in its leases. After a restart the same name takes its leases back at once. "
        "Empty: host, process and a random part.",
    )
    lease: Duration = Field(
        as_written("5s"),
        gt=0,
        le=LONGEST_LEASE_S,
        description="How long a partition stays with a worker that does not renew its lease.",
    )
    batch: int = Field(1000, ge=1, le=10_000, description="How many readings one commit answers at most.")
    batch_bytes: Size = Field(
        as_written("16MB"), ge=1, description="About how many bytes of readings one commit answers."
    )
    block: Duration = Field(as_written("250ms"), ge=0.001, description="How long one read waits for readings.")
    lag_group: str = Field(
        "tidecast",
        description="A passive consumer group, kept at the committed offset so that other tools can show its lag.",
    )
    forecasts_kept: int = Field(1_000_000, ge=1, description="How many forecasts stay in their stream at most.")
    wait_for_group: str = Field(
        "",
        description="A consumer group of `forecasts`. Forecasts that it has not acknowledged are not trimmed; "
        "at the bound the worker waits.",
    )
    wait_replicas: int = Field(
        0, ge=0, le=10, description="How many replicas must have each commit before the next one. 0: none."
    )
    dead_kept: int = Field(10_000, ge=1, description="How many dead letters stay in their stream at most.")
    events_kept: int = Field(10_000, ge=1, description="How many events stay in their stream at most.")
    retention: Duration | None = Field(
        None, gt=0, description="How long answered readings stay in their stream. Empty: for ever."
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
        description="How many rows a series keeps at least, for its first model to read.",
    )
    max_gap: int = Field(3, ge=0, le=1000, description="How many missing steps in a row are interpolated at most.")
    level: float = Field(0.9, gt=0, lt=1, description="The probability with which an interval covers the reading.")
    more_levels: tuple[Level, ...] = Field((), max_length=8, description="Levels of further intervals, such as [0.5].")
    horizon: int = Field(1, ge=1, le=48, description="How many steps ahead every reading is answered.")
    minimum: float | None = Field(None, description="No forecast and no interval goes below; 0 for counts.")
    maximum: float | None = Field(None, description="No forecast and no interval goes above.")
    max_series: int = Field(
        100_000,
        ge=1,
        description="How many series a partition holds at most; a reading of a further series becomes a dead letter.",
    )
    max_entry_bytes: Size = Field(
        as_written("64KB"),
        ge=1024,
        description="How many bytes a reading's fields may have together; a larger reading becomes a dead letter.",
    )

    expire: Duration | None = Field(
        None, gt=0, description="A series without a reading for this long is deleted with its models. Empty: never."
    )
    units: dict[str, str] = Field(
        {}, description="Units for tables and the dashboard, by a pattern of names; the first that matches counts."
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

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest possible forecast."""
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return low, high

    def unit_of(self, series: str) -> str:
        """Return the unit of a series' values; empty without one."""
        return next((unit for pattern, unit in self.units.items() if matches(series, pattern)), "")


class AnomalyRule(Group):
    """When a reading is an anomaly.

    Attributes:
        muted: whether events are left out; forecasts are still marked.
    """

    threshold: float = Field(
        5000.0, ge=100, description="In how many readings a calm series has about one false anomaly."
    )
    direction: Literal["above", "below", "both"] = Field(
        "both", description="Whether readings above or below the forecast count."
    )
    min_deviation: float = Field(0.0, ge=0, description="Smaller errors do not count, in the unit of the series.")
    min_duration: int = Field(1, ge=1, description="How many readings in a row must be unusual.")
    cool_down: int = Field(
        100,
        ge=0,
        description="After an anomaly, how many readings do not begin another one, unless their error is a new spike.",
    )
    muted: bool = Field(False, description="Whether events are left out; forecasts are still marked.")


class AnomalyOverride(Group):
    """The rule for the series of a pattern; settings that are left out are those of the group."""

    pattern: str = Field(description="Which series: a pattern of their names, such as `boiler-*`.")
    threshold: float | None = Field(None, ge=100)
    direction: Literal["above", "below", "both"] | None = None
    min_deviation: float | None = Field(None, ge=0)
    min_duration: int | None = Field(None, ge=1)
    cool_down: int | None = Field(None, ge=0)
    muted: bool | None = None


class AnomalySettings(AnomalyRule):
    """The rule for anomalies, and its exceptions by series."""

    series: tuple[AnomalyOverride, ...] = Field(
        (), description="Other rules for some series; the first pattern that matches counts."
    )

    def rules(self) -> list[tuple[str, AnomalyRule]]:
        """Return all rules with their patterns, in their order; the last one is that of all other series."""
        common = self.model_dump(exclude={"series"})
        differing = [(each.pattern, each.model_dump(exclude={"pattern"}, exclude_none=True)) for each in self.series]
        return [(pattern, AnomalyRule(**(common | given))) for pattern, given in (*differing, ("*", {}))]

    def rule_of(self, series: str) -> AnomalyRule:
        """Return the rule of a series."""
        return next(rule for pattern, rule in self.rules() if matches(series, pattern))


class OwnExpert(Group):
    """An expert of the user's own for the series of a pattern."""

    pattern: str = Field("*", description="Which series: a pattern of their names, such as `boiler-*`.")
    source: str = Field(
        min_length=1,
        description="Its code: `FILE.py:NAME`, `MODULE:NAME`, or an entry point of the group `tidecast.experts`.",
    )


class ExpertSettings(Group):
    """The settings of experts of the user's own: their code, and their limits of time and memory."""

    series: tuple[OwnExpert, ...] = Field(
        (), description="An own expert for some series; the first pattern that matches counts."
    )
    timeout: Duration = Field(
        as_written("100ms"), gt=0, le=60, description="How long an own expert may take for a forecast."
    )
    batch_timeout: Duration = Field(
        as_written("1s"), gt=0, le=60, description="How long all own experts may take for a batch of readings."
    )
    memory: Size = Field(
        as_written("2GB"), ge=256 * 2**20, description="How much memory the process of own experts may reserve."
    )

    def source_of(self, series: str) -> str | None:
        """Return the source of a series' own expert; None if it has none."""
        return next((each.source for each in self.series if matches(series, each.pattern)), None)


class ForecastsSettings(Group):
    """The settings of the streams of forecasts."""

    merged: bool = Field(
        False,
        description="Whether, with several partitions, every forecast is also added to the plain stream `forecasts`.",
    )


class DashboardSettings(Group):
    """The settings of the dashboard: its address and its token."""

    host: str = Field(
        "127.0.0.1",
        description="The address that the dashboard listens on: IPv4, IPv6 or a name; `::` is every address.",
    )
    port: int = Field(8088, ge=0, le=65535, description="The port of the dashboard; 0 picks a free one.")
    token: SecretStr = Field(
        SecretStr(""),
        description="The token that viewers enter, 8 characters or more. It also turns the buttons on. "
        "Required if other machines can reach `host`.",
    )
    max_series: int = Field(10_000, ge=1, description="How many series the dashboard holds at most: 8 kB each.")
