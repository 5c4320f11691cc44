"""Which reading is a shock, and which forecasts to trust after one."""

import math

import hypothesis
from hypothesis import strategies as st

from tests.harness.oracles import OutlierGuard, farthest
from tidecast.online.outlier_guard import ALERT, FARTHEST, REGRET, REGRET_MOST, SHOCK

USUAL = 2.0  # the usual largest move
SHOCKED = OutlierGuard().learn(0.0, 0.0, 1000.0, USUAL)


def test_a_series_of_which_little_is_known_has_no_shocks() -> None:
    """The answer is the experts', whatever it is."""
    after = OutlierGuard().learn(0.0, 0.0, 1e9, 0.0)
    assert (math.inf, 0.0) == (farthest(0.0), after.alert)
    assert 1e12 == OutlierGuard().answer(0.0, 1e12, 0.0)


def test_an_ordinary_move_is_no_shock() -> None:
    """Without one the blend may lose as it likes: the shares see to that."""
    guard = OutlierGuard()
    for _ in range(20):
        guard = guard.learn(0.0, 9.0, 1.0, USUAL)
    assert OutlierGuard() == guard
    assert 0.0 == OutlierGuard().learn(0.0, 0.0, SHOCK * USUAL, USUAL).alert
    assert ALERT == OutlierGuard().learn(0.0, 0.0, 1.01 * SHOCK * USUAL, USUAL).alert


def test_no_forecast_lies_farther_from_the_last_value_than_moves_go() -> None:
    """On either side."""
    far = FARTHEST * USUAL
    answers = [OutlierGuard().answer(10.0, 10.0 + away, USUAL) for away in (1e9, -1e9, 0.9 * far)]
    assert [10 + far, 10 - far, 10 + 0.9 * far] == answers


def test_after_a_shock_the_last_value_answers_until_the_blend_has_won() -> None:
    """As many readings as the loss counts for, whatever their sizes."""
    guard = SHOCKED
    wins = 0
    while guard.use_fallback:
        assert 3.0 == guard.answer(3.0, 4.0, USUAL)
        guard = guard.learn(0.0, 1.0, 1.0, USUAL)
        wins = wins + 1
    assert REGRET_MOST - REGRET == wins
    assert 4.0 == guard.answer(3.0, 4.0, USUAL)
    assert guard.learn(0.0, 1.0, 0.0, USUAL).use_fallback  # it loses one again


def test_a_blend_that_is_not_judged_neither_wins_nor_loses() -> None:
    """The state does not change either where there was no last value."""
    assert SHOCKED.regret == SHOCKED.learn(0.0, math.nan, 1.0, USUAL).regret
    assert SHOCKED == SHOCKED.learn(math.nan, 1.0, 1.0, USUAL)


def test_a_shock_is_forgotten() -> None:
    """Also by a blend that has won nothing."""
    guard = SHOCKED
    for _ in range(int(ALERT) - 1):
        guard = guard.learn(0.0, 1.0, 0.0, USUAL)
    assert guard.use_fallback
    guard = guard.learn(0.0, 1.0, 0.0, USUAL)
    assert (0.0, False) == (guard.regret, guard.use_fallback)


readings = st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 3), max_size=40)


@hypothesis.settings(deadline=None)
@hypothesis.given(readings, st.integers(0, 10**6), st.integers(-40, 40))
def test_the_unit_does_not_matter(made: list[tuple[int, int, int]], usual: int, power: int) -> None:
    """The same readings in another unit have the same shocks."""
    first = OutlierGuard()
    second = OutlierGuard()
    for last, blended, actual in made:
        first = first.learn(float(last), float(blended), float(actual), float(usual))
        second = second.learn(*(math.ldexp(number, power) for number in (last, blended, actual, usual)))
    assert first == second
