"""The options that all functions have in common that take a frame of readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from pydantic import ValidationError

from tidecast.errors import HistoryError, SettingsError
from tidecast.files.history import Histories
from tidecast.files.layout import DEFAULT_TARGET
from tidecast.models import presets
from tidecast.models.spec import Spec
from tidecast.settings import Settings, load_settings
from tidecast.settings.errors import argument_sentence
from tidecast.tools.frames import arguments


class FrameOptions(TypedDict, total=False):
    """Further arguments, by name.

    Attributes:
        target: the column to forecast; None: `y`, `value`, or the only numeric column.
        features: further columns to use; `("all",)`: every numeric column.
        series_column: the column with the names of the series; None: `unique_id` or `series`, if it exists.
        time_column: the column with the times; None: `ds`, another usual name, or the only column with times.
        preset: the preset of the networks: `default`, `tutorial`, `revin`, `residual` or `seasonal`.
        shape: the shape of the networks, such as `{"units": 20, "layers": 2, "bidirectional": True}`.
        seed: of the initial weights, the order of the examples and own experts; None: the setting `train.seed`.
        train: settings of the training, such as `{"epochs": 4}`.
        series: settings of the series, such as `{"minimum": 0}`.
        experts: experts of your own, such as `{"series": [{"pattern": "*", "source": "boosting.py:boosting"}]}`.
        future: a frame with values that are known ahead, such as prices, plans and weather forecasts: `unique_id`
            (series or patterns; without it all series), `ds`, and a column for each field. `known_at` may hold the
            moments since which values are known, with several rows for one time if values were corrected; without it
            a value counts as known before any reading. Columns of the same names in the frame of readings give the
            values for times that it lacks.
        known: settings of what is known ahead, such as `{"calendars": [{"country": "DE"}]}`.
    """

    target: str | None
    features: Sequence[str]
    series_column: str | None
    time_column: str | None
    preset: str | None
    shape: Mapping[str, Any]
    seed: int | None
    train: Mapping[str, Any]
    series: Mapping[str, Any]
    experts: Mapping[str, Any]
    future: Any
    known: Mapping[str, Any]


_COLUMNS = ("target", "features", "series_column", "time_column")


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """The checked options of a call."""

    settings: Settings
    spec: Spec | None  # None: neither a preset nor a shape is given
    target: str | None
    features: tuple[str, ...]
    series_column: str | None
    time_column: str | None
    future: Any = None

    def read(self, frame: Any) -> Histories:
        """Read the histories of a frame.

        Raises:
            HistoryError: the frame cannot be read, or has no usable series, or the known values are for other series.
        """
        from trainer.data.frames import read_frame
        from trainer.data.known import add_known, check_matched
        from trainer.data.known_frame import read_known

        likely = self.settings.series.target
        histories = read_frame(frame, self.target, self.features, likely, self.series_column, self.time_column)
        if not histories.accepted:
            first = histories.refused[0]
            raise HistoryError(f"series {first.series!r}: {first.reason}")
        known = None
        if self.future is not None:
            called = histories.accepted[0].features[0]
            target = self.target or (None if called == DEFAULT_TARGET else called)
            known = read_known(self.future, frame, self.series_column, self.time_column, target)
            check_matched(histories, known)
        return add_known(histories, known, self.settings.known)


def request_of(
    options: FrameOptions, *, level: float | None = None, horizon: int = 1, store: Path | str | None = None
) -> FrameRequest:
    """Check options.

    Args:
        options: of the caller.
        level: of the intervals; None: the setting.
        horizon: the number of steps that each reading is answered for.
        store: the directory of the store; None: the setting.

    Raises:
        SettingsError: an option is invalid.
    """
    named: dict[str, Any] = dict(options)
    columns = {name: named.pop(name, () if name == "features" else None) for name in _COLUMNS}
    spec = _spec(named.pop("preset", None), named.pop("shape", None))
    seed = named.pop("seed", None)
    future = named.pop("future", None)
    _add(named, "train", {} if seed is None else {"seed": seed})
    _add(named, "series", {"horizon": horizon} | ({} if level is None else {"level": level}))
    return FrameRequest(
        load_settings(**named, **({} if store is None else {"store": store})),
        spec,
        arguments.column("target", columns["target"]),
        arguments.columns("features", columns["features"]),
        arguments.column("series_column", columns["series_column"]),
        arguments.column("time_column", columns["time_column"]),
        future,
    )


def check_count(argument: str, count: Any) -> int:
    """Return a number of steps or windows.

    Raises:
        SettingsError: it is not a whole number above 0.
    """
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return count
    raise SettingsError(f"{argument} is {count!r}: give a whole number of at least 1")


def _add(named: dict[str, Any], group: str, settings: Mapping[str, Any]) -> None:
    """Add settings to a group of the caller's; a value that is not a group is left for its own check."""
    given = named.get(group, {})
    if settings and isinstance(given, Mapping):
        named[group] = {**given, **settings}


def _spec(preset: str | None, shape: Mapping[str, Any] | None) -> Spec | None:
    fields = presets.preset(preset)
    if shape is not None and not isinstance(shape, Mapping):
        raise SettingsError(f"shape is {shape!r}: give a dict such as {{'units': 20}}")
    if shape and "pretrained" in shape:
        raise SettingsError("shape has 'pretrained', which is for the networks of cohorts alone: leave it out")
    try:
        return Spec(**{**fields, **(shape or {})}) if fields or shape or preset else None
    except ValidationError as exc:
        raise SettingsError(argument_sentence(exc, Spec, "shape")) from exc
