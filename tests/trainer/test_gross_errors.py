"""Gross errors in a history: their effect on training, on the comparison, and on the worker's answers."""

from pathlib import Path

import numpy as np
import pytest

from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import TrainSettings, load_settings
from tidecast.tools.backtest import BacktestResult, backtest
from trainer.data.gross_errors import without_gross_errors
from trainer.fit.linear import examples
from trainer.fit.shared_network import examples_of, spec_of
from trainer.fit.training_set import TrainingSet, prepare
from trainer.pipeline import train

pytestmark = pytest.mark.keras

HOUR, BEGUN = 3_600_000, 1_600_000_000_000
READINGS, CUT = 1500, 1200  # the test part begins at the cut
HOURS = np.arange(READINGS)
WAVE = 50 + 10 * np.sin(2 * np.pi * HOURS / 24) + np.random.default_rng(0).normal(size=READINGS)
SETTINGS = load_settings(train=TrainSettings(epochs=2, learning_rate=0.02, shared_epochs=0))
SPEC = Spec(window=12, units=6)
SPOILED = {
    "four of -9999 while training": (-9999.0, [300, 611, 820, 1015]),
    "four of -9999 in the tail that judges": (-9999.0, [1050, 1100, 1101, 1180]),
    "twenty of 0": (0.0, np.linspace(50, 1190, 20).astype(int).tolist()),
    "one of 1e6, the last before the cut": (1e6, [1199]),
    "65535 every day at the same hour, on both sides": (65535.0, [*range(963, 1440, 24)]),
    "99.99 in runs, live too": (99.99, [*range(700, 704), *range(1190, 1194), *range(1290, 1294)]),
    "the largest number there is": (3.4e38, [400, 800, 1300]),
}


def history_of(values: Float, series: str = "s") -> History:
    """Return hourly readings."""
    return History(series, ("value",), BEGUN + HOUR * np.arange(len(values)), values[:, None])


def spoiled(code: float, spots: list[int]) -> Float:
    """Return the wave with a code in some places."""
    values = WAVE.copy()
    values[spots] = code
    return values


@pytest.fixture(scope="module")
def answered() -> BacktestResult:
    """All spoiled series, and the clean one, in one backtest."""
    values = {"clean": WAVE, **{name: spoiled(*case) for name, case in SPOILED.items()}}
    return backtest([history_of(y, name) for name, y in values.items()], 0.2, SETTINGS, SPEC)


def test_clean(answered: BacktestResult) -> None:
    """The series can be learned; otherwise the effects would be invisible."""
    assert _skill(answered, "clean", []) > 0.5


@pytest.mark.parametrize("name", SPOILED)
def test_clean_readings_cost_what_they_cost_without_the_errors(answered: BacktestResult, name: str) -> None:
    """The skill is within a few hundredths; no forecast comes near the errors, and the intervals cover as usual."""
    spots = SPOILED[name][1]
    assert _skill(answered, name, spots) > _skill(answered, "clean", spots) - 0.04
    rows = answered.settled[name]
    yhat = np.array([row.forecast.yhat for row in rows])
    assert WAVE.min() - 5 < yhat.min() < yhat.max() < WAVE.max() + 5
    inside = [row.forecast.yhat_lower <= y <= row.forecast.yhat_upper for row, y in _clean(answered, name, spots)]
    assert 0.84 < np.mean(inside) < 0.96


def _clean(answered: BacktestResult, name: str, spots: list[int]) -> list:
    hours = [(row.ts - BEGUN) // HOUR for row in answered.settled[name]]
    return [(row, WAVE[n]) for row, n in zip(answered.settled[name], hours, strict=True) if n not in spots]


def _skill(answered: BacktestResult, name: str, spots: list[int]) -> float:
    """Over the last value of the clean series."""
    hours = np.setdiff1d(HOURS[CUT:], spots)
    errors = [abs(row.forecast.yhat - y) for row, y in _clean(answered, name, spots)]
    return float(1 - np.mean(errors) / np.abs(WAVE[hours] - WAVE[hours - 1]).mean())


@pytest.fixture
def training_set() -> TrainingSet:
    """Made of a history with errors in each part."""
    made = prepare(
        without_gross_errors(history_of(spoiled(-9999.0, [300, 611, 612, 1015, 1400]))), SPEC, SETTINGS.train, 3
    )
    assert isinstance(made, TrainingSet)
    return made


def test_no_expert_learns_of_a_gross_error(training_set: TrainingSet) -> None:
    """Neither to forecast it nor to forecast from it; scales are those of the sound readings."""
    wrong = {300, 611, 612, 1015, 1400}
    assert wrong == set(training_set.grid.left_out.tolist())
    for part in (training_set.learn, training_set.stop):
        assert not wrong & set(part.rows.tolist())
        assert not wrong & set((part.rows - 1).tolist())
    learned = examples_of(training_set, spec_of("value"), 0, training_set.rows_before_tail)
    terms, moves = examples(training_set.grid, np.array([1]), np.array([0]), READINGS)
    assert len(moves) == len(terms) == READINGS - 1 - 9  # each error ends an example and begins one
    assert np.abs(learned.y).max() < 5
    clean = prepare(history_of(WAVE), SPEC, SETTINGS.train, 3)
    assert isinstance(clean, TrainingSet)
    assert training_set.change_scale == pytest.approx(clean.change_scale, rel=0.02)
    assert training_set.seasons == clean.seasons


def test_a_verdict_counts_the_readings_that_were_left_out(tmp_path: Path) -> None:
    """The user gets a note, and the model's figures about its history cover the sound readings only."""
    store = ModelStore(tmp_path)
    given = history_of(spoiled(-9999.0, [300, 611, 1015, 1400, 1490]))
    verdict = train([given], SPEC, SETTINGS, store)[0]
    assert "trained" == verdict.status
    assert "; 5 of 1500 readings were left out as gross errors" in verdict.reason
    header = store.load("s")[1].header
    low, high = header.known
    assert WAVE.min() <= low < high <= WAVE.max()
    assert header.largest_move < 8
    assert header.half_width < 4
    again = train([given], SPEC, SETTINGS, store)[0]
    assert "already trained" == again.status
