"""Named presets for a series' own network: its inputs and its training target, as fields of `Spec`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tidecast.errors import SettingsError
from tidecast.models.spec import CYCLES
from tidecast.suggestions import did_you_mean

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": {},  # the next change on a robust scale, by the mean absolute error
        "tutorial": {"target_transform": "level", "loss": "mse"},  # the standardised level, by the mean squared error
        "revin": {"normalise": True},  # each window divided by its own spread
        "residual": {"residual": True},  # the residuals of the linear expert
        # Also the values one season before and the phases of the calendar, if the history is long enough.
        "seasonal": {"seasonal": 2, "calendar": tuple(CYCLES)},
    }
)


def preset(name: str | None) -> dict[str, Any]:
    """Return the fields of `Spec` that a preset sets; empty for None.

    Raises:
        SettingsError: the preset does not exist.
    """
    if name is None:
        return {}
    if not isinstance(name, str) or name not in PRESETS:
        raise SettingsError(f"preset {name!r} does not exist: {did_you_mean(str(name), PRESETS)}")
    return dict(PRESETS[name])
