"""The fields of further steps and intervals: `ts_STEP` and `yhat[_STEP][_lower|_upper][_LEVEL]`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tidecast.wire.messages import Forecast

_MORE = re.compile(r"ts_[0-9]+|yhat_[0-9]+(_(lower|upper)(_[0-9.]+)?)?|yhat_(lower|upper)_[0-9.]+")


@dataclass(frozen=True, slots=True)
class Step:
    """The forecast of one step ahead.

    Attributes:
        step: 1 for the next reading.
        ts: the time forecast, epoch milliseconds; None while the step between readings is not known.
        yhat: the forecast.
        lower: the lower end of its interval, None while no error is known.
        upper: the upper end.
    """

    step: int
    ts: int | None
    yhat: float
    lower: float | None
    upper: float | None


def field_of(step: int = 1, end: Literal["", "lower", "upper"] = "", level: float | None = None) -> str:
    """Return the name of the field of a forecast or of an end of its interval.

    Args:
        step: 1 for the next reading.
        end: of the interval; empty: the forecast itself.
        level: of a further interval; None: the level of the forecast.
    """
    parts = ("yhat", *([str(step)] if step > 1 else []), *([end] if end else []))
    return "_".join(parts if level is None else (*parts, f"{level * 100:g}"))


def time_field_of(step: int) -> str:
    """Return the name of the field with the time that a further step forecasts."""
    return f"ts_{step}"


def further_fields(steps: int, more_levels: Sequence[float]) -> list[str]:
    """Return the names of all fields of further intervals and steps, in the order in which they are written."""
    ends: tuple[Literal["lower", "upper"], ...] = ("lower", "upper")
    names = [field_of(1, end, level) for level in more_levels for end in ends]
    for step in range(2, steps + 1):
        intervals = [field_of(step, end, level) for level in (None, *more_levels) for end in ends]
        names += [time_field_of(step), field_of(step), *intervals]
    return names


def further_value(name: str, text: str) -> float | None:
    """Return the value of a field of further steps or intervals, None for another field.

    Raises:
        ValueError: the text is not a number.
    """
    if not _MORE.fullmatch(name):
        return None
    return int(text) if name.startswith("ts_") else float(text)


def steps_of(forecast: "Forecast") -> tuple[Step, ...]:
    """Return the steps of a forecast, the next reading first."""
    more = dict(forecast.more)
    steps = [Step(1, forecast.ts, forecast.yhat, forecast.yhat_lower, forecast.yhat_upper)]
    while (yhat := more.get(field_of(step := len(steps) + 1))) is not None:
        ts = more.get(time_field_of(step))
        bounds = (more.get(field_of(step, bound)) for bound in ("lower", "upper"))
        steps.append(Step(step, None if ts is None else int(ts), yhat, *bounds))
    return tuple(steps)
