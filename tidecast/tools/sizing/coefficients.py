"""The coefficients of a machine: the cost of one reading in its parts, and the bytes of an entry in Redis."""

from pathlib import Path
from typing import Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tidecast.errors import SettingsError
from tidecast.models.pretrained.network import shipped, spec_of
from tidecast.models.spec import Spec

ModelKind = Literal["none", "own", "shared", "both"]
OWN = Spec(window=24, units=50)  # an own network, as the trainer makes it
SHARED_NETWORK = spec_of(shipped().weights, "value")  # a cohort's, as the trainer makes it


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cost(_Frozen):
    """The cost of one reading, or of a part of it, in microseconds.

    Attributes:
        worker_us: the processor time of the worker, all threads together.
        loop_us: the time between two answers of a single worker that always has readings, with its waiting.
        redis_us: the processor time of Redis.
    """

    worker_us: float = Field(ge=0)
    loop_us: float = Field(ge=0)
    redis_us: float = Field(ge=0)

    def plus(self, part: "Cost", times: float = 1.0) -> "Cost":
        """Return the sum of this cost and `times` another one."""
        return Cost(
            worker_us=self.worker_us + times * part.worker_us,
            loop_us=self.loop_us + times * part.loop_us,
            redis_us=self.redis_us + times * part.redis_us,
        )

    def minus(self, part: "Cost") -> "Cost":
        """Return the excess of this cost over another one; a difference below 0 is noise and becomes 0."""
        return Cost(
            worker_us=max(0.0, self.worker_us - part.worker_us),
            loop_us=max(0.0, self.loop_us - part.loop_us),
            redis_us=max(0.0, self.redis_us - part.redis_us),
        )


class Coefficients(_Frozen):
    """The measured coefficients of a machine.

    Attributes:
        processor: its name.
        cores: the cores that programs may use.
        memory_bytes: its memory.
        untrained: the cost of a reading of a series without a model, which the pretrained network forecasts.
        trained: the cost of a reading of a series whose model has linear experts alone.
        own: what an own LSTM with `own_units` units over 24 rows adds.
        own_units: the units of the own LSTM that was measured.
        shared: what a cohort's network adds.
        state_bytes: the memory of Redis for the state of one series.
        forecast_bytes: the same for one forecast.
        reading_bytes: the same for one reading.
    """

    processor: str
    cores: int = Field(ge=1)
    memory_bytes: int = Field(gt=0)
    untrained: Cost
    trained: Cost
    own: Cost
    own_units: int = Field(ge=1)
    shared: Cost
    state_bytes: float = Field(gt=0)
    forecast_bytes: float = Field(gt=0)
    reading_bytes: float = Field(gt=0)

    @model_validator(mode="after")
    def _reading_costs_time(self) -> Self:
        if min(min(cost.worker_us, cost.loop_us, cost.redis_us) for cost in (self.untrained, self.trained)) <= 0:
            raise ValueError("a reading costs more than 0 microseconds")
        return self

    def cost(self, model: ModelKind, units: int) -> Cost:
        """Return the cost of a reading with these models: the sum of its parts.

        Args:
            model: the networks of each series. With `none` it has no model at all.
            units: of an own LSTM; its cost grows with its products.
        """
        cost = self.untrained if model == "none" else self.trained
        if model in ("own", "both"):
            cost = cost.plus(self.own, products(own_spec(units)) / products(own_spec(self.own_units)))
        if model in ("shared", "both"):
            cost = cost.plus(self.shared)
        return cost


def own_spec(units: int) -> Spec:
    """Return the shape of an own network with so many units."""
    return OWN.model_copy(update={"units": units})


def products(spec: Spec) -> int:
    """Return the number of products in one forecast of a network with one LSTM layer."""
    return spec.window * 4 * spec.units * (spec.channels + spec.units)


def stored_coefficients(path: Path) -> Coefficients:
    """Read the coefficients that `tidecast size --json` printed on a machine.

    Raises:
        SettingsError: the file cannot be read, or has other contents.
    """
    remedy = "name a file with the output of `tidecast size --json`"
    try:
        return Coefficients.model_validate(orjson.loads(path.read_bytes())["coefficients"])
    except OSError as exc:
        raise SettingsError(f"--coefficients {path} cannot be read ({exc.strerror}): {remedy}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        reason = _reason(exc) if isinstance(exc, ValidationError) else "it has no coefficients"
        raise SettingsError(f"--coefficients {path} is refused, {reason}: {remedy}") from exc


def _reason(exc: ValidationError) -> str:
    first = exc.errors()[0]
    place = ".".join(map(str, first["loc"])) or "coefficients"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
