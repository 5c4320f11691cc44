"""Which jumps of a level are reported."""

import math
from types import SimpleNamespace

import pytest

from tidecast.online.kernels.detection.level_jumps import count_jump, watch_level
from tidecast.wire.state_format import WATCH


@pytest.mark.parametrize(("readings", "size", "is_reported"), [(0, 6, True), (99, 4, False), (100, 4, True)])
def test_soon_after_a_jump_only_a_larger_one_is_reported(readings: int, size: float, is_reported: bool) -> None:
    """A level that is still settling does not change again."""
    watch = SimpleNamespace(**dict.fromkeys(WATCH.names or (), 0.0))
    watch.rising = 0.5
    assert count_jump(watch, 5.0)
    for ts in range(readings):
        watch_level(watch, None, 1.0, float(ts), math.nan, None)
    assert is_reported == count_jump(watch, size)
