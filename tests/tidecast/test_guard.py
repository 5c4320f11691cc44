"""Which moves are usual, what is a shock, and whom to believe after one."""

import math
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tidecast.guard import ALERT, FARTHEST, GROWTH, REGRET, REGRET_MOST, SHOCK, WARM_UP, Guard
from tidecast.windows import Float

KNOWN = Guard(largest=2.0, moves=WARM_UP)


def moved(y: Float) -> Guard:
    """The guard of a series after its readings."""
    guard = Guard()
    for last, actual in zip(y[:-1].tolist(), y[1:].tolist(), strict=True):
        guard = guard.learn(last, math.nan, actual)
    return guard


SHOCKED = KNOWN.learn(0.0, 0.0, 1000.0)


def test_a_series_of_which_little_is_known_has_no_shocks() -> None:
    """Nor has one that never moved: whatever the experts say is answered."""
    for guard in (moved(np.arange(WARM_UP)), moved(np.full(200, 7.0))):
        after = guard.learn(0.0, 0.0, 1e9)
        assert (math.inf, 0.0, 1e9) == (guard.farthest, after.alert, after.largest)
        assert 1e12 == guard.answer(0.0, 1e12)


def test_the_largest_move_fades_and_is_exceeded_little_by_little() -> None:
    """By half in 2,000 readings, by one in a hundred with each beyond it: a spike says nothing of what is usual."""
    guard = moved(np.array([0.0, 3.0, -1.0] * 20))
    assert 4.0 == pytest.approx(guard.largest, rel=0.01)
    assert 0.5 * guard.largest == pytest.approx(_still(guard, 2000).largest)
    assert GROWTH * guard.largest == guard.learn(0.0, 0.0, 1e9).largest


def _still(guard: Guard, readings: int) -> Guard:
    for _ in range(readings):
        guard = guard.learn(0.0, 0.0, 0.0)
    return guard


def test_a_history_tells_which_moves_are_usual() -> None:
    """Unless the readings themselves tell of larger ones."""
    assert Guard(9.0, WARM_UP) == Guard().begin(9.0)
    assert (Guard(), KNOWN) == (Guard().begin(0.0), KNOWN.begin(1.0))


def test_an_ordinary_move_is_no_shock() -> None:
    """Without one the blend may lose as it likes: the shares see to that."""
    guard = KNOWN
    for _ in range(20):
        guard = guard.learn(0.0, 9.0, 1.0)
    assert (0.0, 0.0) == (guard.alert, guard.regret)
    assert 0.0 == KNOWN.learn(0.0, 0.0, SHOCK * KNOWN.largest).alert
    assert ALERT == KNOWN.learn(0.0, 0.0, 1.01 * SHOCK * KNOWN.largest).alert


def test_no_forecast_lies_farther_from_the_last_value_than_moves_go() -> None:
    """On either side."""
    far = FARTHEST * KNOWN.largest
    assert [10 + far, 10 - far, 10 + 0.9 * far] == [KNOWN.answer(10.0, 10.0 + away) for away in (1e9, -1e9, 0.9 * far)]


def test_after_a_shock_the_last_value_answers_until_the_blend_has_won() -> None:
    """As many readings as the loss counts for, whatever their sizes."""
    guard, wins = SHOCKED, 0
    while guard.distrusts:
        assert 3.0 == guard.answer(3.0, 4.0)
        guard, wins = guard.learn(0.0, 1.0, 1.0), wins + 1
    assert REGRET_MOST - REGRET == wins
    assert 4.0 == guard.answer(3.0, 4.0)
    assert guard.learn(0.0, 1.0, 0.0).distrusts  # it loses one again


def test_a_blend_that_is_not_judged_neither_wins_nor_loses() -> None:
    """Nor does anything change where there was no last value."""
    assert SHOCKED.regret == SHOCKED.learn(0.0, math.nan, 1.0).regret
    assert SHOCKED == SHOCKED.learn(math.nan, 1.0, 1.0)


def test_a_shock_is_forgotten() -> None:
    """Also by a blend that has won nothing."""
    guard = SHOCKED
    for _ in range(int(ALERT) - 1):
        guard = guard.learn(0.0, 1.0, 0.0)
    assert guard.distrusts
    guard = guard.learn(0.0, 1.0, 0.0)
    assert (0.0, False) == (guard.regret, guard.distrusts)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.integers(-(10**6), 10**6), max_size=120), st.integers(-40, 40))
def test_the_unit_does_not_matter(y: list[int], power: int) -> None:
    """The same readings in another unit have the same shocks."""
    one, other = moved(np.array(y, float)), moved(np.ldexp(np.array(y, float), power))
    assert replace(one, largest=math.ldexp(one.largest, power)) == other
