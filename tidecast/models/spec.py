"""The shape of a series' network: all that is needed to build, train or run it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tidecast.models import lstm, time_grid
from tidecast.models.pretrained import shape
from tidecast.wire import RESERVED

Cycle = Literal["day", "week", "year"]
CYCLES: Mapping[Cycle, float] = MappingProxyType({"day": 1.0, "week": 7.0, "year": 365.25})  # in days


class Spec(BaseModel):
    """The shape of one network; omitted fields have their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target: str = "value"
    features: tuple[str, ...] = Field((), validate_default=True)  # the target first; it is added if left out
    known: tuple[str, ...] = ()  # inputs that are known ahead; a row holds those of the time after it
    window: int = Field(24, ge=2, le=1024)  # number of rows that the network reads
    units: int = Field(50, ge=1, le=1024)  # per layer and direction
    layers: int = Field(1, ge=1, le=4)
    bidirectional: bool = False
    activation: lstm.Activation = "tanh"
    target_transform: time_grid.TargetTransform = "change"
    loss: Literal["mae", "mse"] = "mae"
    normalise: bool = False  # divide each window by its own spread: instance normalisation, RevIN (Kim et al. 2022)
    seasonal: int = Field(0, ge=0, le=2)  # number of seasons back for which the network also reads the target
    calendar: tuple[Cycle, ...] = ()  # the cycles whose phase it reads, if the history is long enough
    residual: bool = False  # it learns the residuals of the linear expert
    hidden: int = Field(0, ge=0, le=1024)  # units of a dense layer (ReLU) before the output; 0: none
    pretrained: bool = False  # it reads the inputs of the network of the package, from whose weights it was tuned

    @field_validator("features")
    @classmethod
    def _target_first(cls, features: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        target = info.data.get("target", "")  # absent if it is not valid
        return (target, *dict.fromkeys(name for name in features if name != target))

    @field_validator("features", "known")
    @classmethod
    def _are_fields(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        for name in features:
            if not name or not name.isprintable() or name in RESERVED:
                raise ValueError(f"{name!r} cannot be a reading's field: name the column otherwise")
        return features

    @model_validator(mode="after")
    def _has_the_pretrained_shape(self) -> Self:
        if not self.pretrained:
            return self
        fixed = {"features": (self.target,), "window": shape.WINDOW, "seasonal": shape.SEASONS}
        free = {"target", "units", "hidden", "pretrained"}
        for name, field in type(self).model_fields.items():
            if name not in free and getattr(self, name) != fixed.get(name, field.default):
                raise ValueError(f"a network tuned from the pretrained one has another {name}")
        return self

    @property
    def columns(self) -> int:
        """Return the numbers of a row: the features and the known inputs."""
        return len(self.features) + len(self.known)

    @property
    def channels(self) -> int:
        """Return the numbers per step: a row, a value and a flag per season, a sine and a cosine per cycle."""
        if self.pretrained:
            return shape.CHANNELS
        return self.columns + 2 * self.seasonal + 2 * len(self.calendar)

    @property
    def least_rows(self) -> int:
        """Return how many rows a series must have for a forecast."""
        return shape.LEAST_ROWS if self.pretrained else self.window

    @property
    def directions(self) -> tuple[str, ...]:
        """Return the names of a layer's cells."""
        return ("forward", "backward") if self.bidirectional else ("forward",)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of all weights, in the order of Keras."""
        shapes: dict[str, tuple[int, ...]] = {}
        width = self.channels
        for i in range(self.layers):
            for direction in self.directions:
                shapes[f"lstm.{i}.{direction}.kernel"] = (width, 4 * self.units)
                shapes[f"lstm.{i}.{direction}.recurrent"] = (self.units, 4 * self.units)
                shapes[f"lstm.{i}.{direction}.bias"] = (4 * self.units,)
            width = self.units * len(self.directions)
        if self.hidden:
            shapes |= {"hidden.kernel": (width, self.hidden), "hidden.bias": (self.hidden,)}
            width = self.hidden
        return shapes | {"dense.kernel": (width, 1), "dense.bias": (1,)}
