"""Which reading is a shock, and which forecasts to trust after one."""

from tests.harness.oracles.blending import OutlierGuard
from tests.tidecast.online.harness import answers_to
from tidecast.models.gross_errors import SMALLEST_MOVE
from tidecast.online.forecaster import Forecaster
from tidecast.online.outlier_guard import ALERT, FARTHEST, REGRET, REGRET_MOST, SHOCK, UNTRAINED_SHOCK
from tidecast.settings import SeriesSettings

USUAL = 2.0  # the usual largest move
SHOCKED = OutlierGuard().learn(0.0, 0.0, 1000.0, USUAL)


def test_an_ordinary_move_is_no_shock() -> None:
    """Without one the blend may lose as it likes: the shares see to that."""
    guard = OutlierGuard()
    for _ in range(20):
        guard = guard.learn(0.0, 9.0, 1.0, USUAL)
    assert OutlierGuard() == guard
    assert 0.0 == OutlierGuard().learn(0.0, 0.0, SHOCK * USUAL, USUAL).alert
    assert ALERT == OutlierGuard().learn(0.0, 0.0, 1.01 * SHOCK * USUAL, USUAL).alert


def test_without_a_model_only_a_larger_move_is_a_shock() -> None:
    """The usual largest move of fifty readings is often too small, and a shock takes the forecasts from the experts."""
    spike = 0.99 * UNTRAINED_SHOCK * USUAL
    assert 0.0 == OutlierGuard().learn(0.0, 0.0, spike, USUAL, trained=False).alert
    assert ALERT == OutlierGuard().learn(0.0, 0.0, spike, USUAL).alert
    assert ALERT == OutlierGuard().learn(0.0, 0.0, 1.01 * UNTRAINED_SHOCK * USUAL, USUAL, trained=False).alert


def test_no_forecast_lies_farther_from_the_last_value_than_moves_go() -> None:
    """On either side."""
    far = FARTHEST * USUAL
    answers = [OutlierGuard().answer(10.0, 10.0 + away, USUAL) for away in (1e9, -1e9, 0.9 * far)]
    assert [10 + far, 10 - far, 10 + 0.9 * far] == answers


def test_a_series_that_does_not_move_is_forecast_by_its_value_exactly() -> None:
    """Beside a last value of 0 even the smallest distance would be an error, and the first width of its interval."""
    assert 0.0 == OutlierGuard().answer(0.0, 1.0, SMALLEST_MOVE)
    made = answers_to(Forecaster(SeriesSettings()), [0.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    assert 0.0 == made[-1].yhat


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


def test_a_shock_is_forgotten() -> None:
    """Also by a blend that has won nothing."""
    guard = SHOCKED
    for _ in range(int(ALERT) - 1):
        guard = guard.learn(0.0, 1.0, 0.0, USUAL)
    assert guard.use_fallback
    guard = guard.learn(0.0, 1.0, 0.0, USUAL)
    assert (0.0, False) == (guard.regret, guard.use_fallback)
