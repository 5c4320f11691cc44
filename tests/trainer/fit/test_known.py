"""The choice of known inputs: those that help are used, useless ones are left out."""

import numpy as np
import pytest

from tests.trainer.harness import STEP
from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS, LINEAR, LINEAR_KNOWN
from tidecast.models.known.inputs import HOLIDAY, KnownInputs, KnownSeries, SpecialDays, with_known
from tidecast.models.known.values import KnownValues
from tidecast.models.time_grid import Grid
from trainer.fit.known import choose_inputs
from trainer.fit.linear import KnownTerms, fit_panel

ROWS = 600


def plan_and_rest(seed: int) -> tuple[Float, Float]:
    """Return a plan, and a target that follows it with noise and a wave."""
    rng = np.random.default_rng(seed)
    plan = rng.normal(size=ROWS).cumsum()
    return plan, 3 * plan + np.sin(np.arange(ROWS) / 4) + rng.normal(size=ROWS)


def grid_of(target: Float) -> Grid:
    """Return a target on its grid."""
    at = np.arange(ROWS)
    return Grid(at * STEP, target[:, None], np.zeros(ROWS, np.int64), np.zeros(ROWS, np.bool_))


def known_of(**columns: Float) -> KnownSeries:
    """Return columns as values that were always known."""
    values = KnownValues()
    for name, column in columns.items():
        values.add("*", name, np.arange(len(column)) * STEP, column)
    return KnownSeries("s", values)


@pytest.mark.parametrize("seasons", [(), (24,), (192, 24)])
def test_an_input_that_helps_is_chosen(seasons: tuple[int, ...]) -> None:
    """A wrong season must not hide its use, because its lags take many rows."""
    plan, target = plan_and_rest(0)
    known = known_of(plan=plan)
    choice = choose_inputs(grid_of(target), KnownInputs(known.names, STEP), known, seasons, ROWS)
    assert ("plan",) == choice.inputs.names
    assert 1 == choice.terms.columns


def test_too_few_readings_to_judge_an_input_are_the_reason() -> None:
    """The user would look for a fault in values that help; a useless input is another reason."""
    plan, target = plan_and_rest(0)
    known = known_of(plan=plan)
    few = choose_inputs(grid_of(target), KnownInputs(known.names, STEP), known, (24,), 60)
    assert () == few.inputs.names
    assert "left out: too few readings with all of them" in few.reason
    useless = known_of(noise=np.random.default_rng(77).normal(size=ROWS))
    choice = choose_inputs(grid_of(target), KnownInputs(useless.names, STEP), useless, (24,), ROWS)
    assert "left out, as they help too little" in choice.reason


@pytest.mark.parametrize("seed", range(8))
def test_useless_inputs_are_left_out(seed: int) -> None:
    """Noise and a walk of their own would only add to the error of a network."""
    rng = np.random.default_rng(seed)
    known = known_of(noise=rng.normal(size=ROWS), walk=rng.normal(size=ROWS).cumsum())
    grid = grid_of(plan_and_rest(seed + 100)[1])
    assert () == choose_inputs(grid, KnownInputs(known.names, STEP), known, (24,), ROWS).inputs.names


def test_an_input_that_helps_on_the_newest_rows_alone_is_left_out() -> None:
    """One gain may be chance, however certain it looks: on the quarter before, the target did not follow the plan."""
    rng = np.random.default_rng(0)
    plan, target = plan_and_rest(0)
    idle = slice(ROWS // 2, ROWS - ROWS // 4)
    moves = np.diff(target, prepend=target[0])
    moves[idle] = rng.normal(size=ROWS // 4)
    known = known_of(plan=plan)
    inputs = KnownInputs(known.names, STEP)
    assert () == choose_inputs(grid_of(moves.cumsum()), inputs, known, (), ROWS).inputs.names
    assert ("plan",) == choose_inputs(grid_of(target), inputs, known, (), ROWS).inputs.names


def test_inputs_that_are_mostly_missing_are_left_out() -> None:
    """They cannot be judged, nor would they be there to forecast."""
    plan, target = plan_and_rest(0)
    known = known_of(plan=plan[:40])
    assert () == choose_inputs(grid_of(target), KnownInputs(known.names, STEP), known, (), ROWS).inputs.names


def test_the_known_expert_reads_the_inputs_and_the_others_do_not() -> None:
    """The others answer when the inputs run out."""
    plan, target = plan_and_rest(0)
    known = known_of(plan=np.append(plan, plan[-1] + 1))
    wide = with_known(grid_of(target), KnownInputs(known.names, STEP), known)
    panel = fit_panel(wide, (24,), ROWS, KnownTerms(1, (0, 1, 24), (24,)))
    reads = (panel.coefficients != 0) & (panel.columns == 1)
    assert ["linear_known"] == [EXPERTS[LINEAR.start + i] for i in np.flatnonzero(reads.any(axis=1))]
    at = LINEAR_KNOWN - LINEAR.start
    by_lag = dict(zip(panel.lags[reads[at]].tolist(), panel.coefficients[at, reads[at]].tolist(), strict=True))
    assert {0, 1, 24} == set(by_lag)
    assert 3 == pytest.approx(by_lag[0], abs=0.2)


def test_special_days_are_chosen_where_a_shop_is_closed() -> None:
    """Two years of days with a week's rhythm: on nine holidays a year the shop is closed; the sines add nothing."""
    days = np.arange(730)
    closed = tuple(np.random.default_rng(2).choice(days, 18, replace=False).tolist())
    rng = np.random.default_rng(0)
    sold = 100 + 20 * np.isin(days % 7, (2, 3)) + rng.normal(0, 3, len(days))
    sold[list(closed)] = 0.0
    special = SpecialDays(tuple(sorted(closed)), 0, 800)
    step = 24 * STEP
    known = KnownSeries("s", KnownValues(), special, (HOLIDAY, "@weekday_sin"))
    grid = Grid(days * step, sold[:, None], np.zeros(len(days), np.int64), np.zeros(len(days), np.bool_))
    choice = choose_inputs(grid, KnownInputs(known.names, step, special), known, (7,), len(days))
    assert HOLIDAY in choice.inputs.names
    assert 7 in choice.terms.lags
