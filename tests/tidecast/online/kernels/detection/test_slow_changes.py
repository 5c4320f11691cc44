"""When a level has slowly changed, and when it only swings as it always did."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tidecast.online.harness import noise
from tidecast.arrays import Float
from tidecast.online.kernels.detection.slow_changes import follow_slowly, jump_slowly, slow_change
from tidecast.wire.state_format import SLOW

READINGS = 6000
WEARS = 6 * np.clip((np.arange(READINGS) - 4000) / 1000, 0, 1)


def zeros() -> Any:
    """Return the numbers of a new series, which Python reads ten times faster than a record."""
    return SimpleNamespace(**{name: [0.0] * 2 for name in SLOW.names or ()})


def changes(y: Float, above: Float | None = None, error: float = 0.8) -> list[int]:
    """Return the readings with which a slow change is detected."""
    slow = zeros()
    places = []
    for i, value in enumerate(y.tolist()):
        follow_slowly(slow, value, np.nan if above is None else float(above[i]))
        if slow_change(slow, error) != 0.0:
            places.append(i)
    return places


def season(period: int) -> Float:
    """Return a wave of eight spreads."""
    wave: Float = 8 * np.sin(2 * np.pi * np.arange(READINGS) / period)
    return wave


@pytest.mark.parametrize("period", [24, 48])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_slow_change_is_detected_in_noise_and_over_short_seasons(period: int, sign: int) -> None:
    """By the mean of two hundred readings, before half of the thousand are over."""
    for wave in (0, season(period)):
        assert 4000 < changes(noise(READINGS) + wave + sign * WEARS)[0] < 4600


def test_a_long_season_hides_a_slow_change_unless_its_profile_is_known() -> None:
    """The distance from the profile does not have the season's swings."""
    y = season(1440) + noise(READINGS) + WEARS
    assert [] == changes(y)
    assert 4000 < changes(y, above=y - season(1440))[0] < 4600


@pytest.mark.parametrize("seed", range(3))
def test_walks_and_seasons_swing_as_they_always_did(seed: int) -> None:
    """A movement that the series always had is not a change."""
    calm = noise(READINGS, seed)
    assert [] == [at for y in (calm, np.cumsum(calm), season(24), season(1440) + calm) for at in changes(y, error=0.1)]


def test_a_level_that_has_jumped_does_not_change_slowly() -> None:
    """The jump has an event of its own; the slow levels begin at the new one."""
    slow = zeros()
    for i, value in enumerate((noise(READINGS) + 6.0 * (np.arange(READINGS) >= 4000)).tolist()):
        follow_slowly(slow, value, np.nan)
        if i == 4009:
            jump_slowly(slow, 6.0, 10.0)
        assert 0.0 == slow_change(slow, 0.8) or 4000 <= i < 4009
