"""Named shapes of a series' own network: what it sees and what it learns, all of them behind one `Spec`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tidecast.errors import SettingsError
from tidecast.models.spec import CYCLES
from tidecast.suggestions import did_you_mean

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": {},  # the next change on a robust scale, by the mean absolute error
        "tutorial": {"form": "level", "loss": "mse"},  # the standardised level, by the mean squared error
        "revin": {"normalise": True},  # each window over its own spread
        "skip": {"skip": True},  # what the linear expert leaves over
        # The values one season before and the phases of the calendar too, where the history spans enough of them.
        "seasonal": {"seasonal": 2, "calendar": tuple(CYCLES)},
    }
)


def preset(name: str | None) -> dict[str, Any]:
    """The fields of `Spec` that a preset sets; none for None.

    Raises:
        SettingsError: there is no such preset.
    """
    if name is None:
        return {}
    if not isinstance(name, str) or name not in PRESETS:
        raise SettingsError(f"preset {name!r} does not exist: {did_you_mean(str(name), PRESETS)}")
    return dict(PRESETS[name])
