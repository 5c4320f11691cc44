"""A history is split by time, scaled by its oldest part, and refused in a sentence where it cannot be learned from."""

import numpy as np
import pytest

from tidecast.files.history import History
from tidecast.models.spec import Spec
from tidecast.settings import TrainSettings
from trainer.fit.training_set import (
    MIN_EXAMPLES,
    MIN_READINGS,
    TrainingSet,
    Untrainable,
    prepare,
    readings_needed,
    split,
)

STEP = 60_000
MAX_GAP = 3
SPEC = Spec(window=5, units=3)
SETTINGS = TrainSettings()


def history(values: np.ndarray, steps: np.ndarray | None = None) -> History:
    """Return readings of one feature, a minute apart unless set otherwise."""
    steps = np.ones(len(values)) if steps is None else steps
    return History("s", ("value",), (np.cumsum(steps) * STEP).astype(np.int64), values[:, None].astype(float))


def training_set_of(given: History, spec: Spec = SPEC) -> TrainingSet:
    """Return the training set of a history that has one."""
    training_set = prepare(given, spec, SETTINGS, MAX_GAP)
    assert isinstance(training_set, TrainingSet), training_set
    return training_set


def unfit(given: History) -> Untrainable:
    """Return why a history cannot be trained on."""
    answer = prepare(given, SPEC, SETTINGS, MAX_GAP)
    assert isinstance(answer, Untrainable)
    return answer


def walk(readings: int, seed: int = 0) -> np.ndarray:
    """Return a series to learn from."""
    return np.random.default_rng(seed).normal(size=readings).cumsum()


def test_the_parts_follow_each_other_in_time_and_share_no_target() -> None:
    """The newest readings are the tail, the newest tenth of the rest the validation part; the others are for
    training.
    """
    training_set = training_set_of(history(np.arange(200.0)))
    assert training_set.learn.targets.tolist() == list(range(5, 126))
    assert training_set.stop.targets.tolist() == list(range(126, 140))
    assert training_set.tail == 140


@pytest.mark.parametrize(("readings", "tail"), [(100, 35), (200, 60), (400, 60), (1000, 150)])
def test_a_tail_is_long_enough_to_judge_by_and_leaves_most_to_learn_from(readings: int, tail: int) -> None:
    """It is 15 % of a long history; of a short one 60 readings, but at most 35 %."""
    assert readings - split(readings, SETTINGS)[1] == tail


@pytest.mark.parametrize("form", ["change", "level"])
@pytest.mark.parametrize("start", [126, 140])
def test_newer_parts_do_not_touch_the_scaler_nor_what_is_learned_from(form: str, start: int) -> None:
    """Neither the validation part nor the tail leaks into the past."""
    values = walk(200)
    spec = Spec(**{**SPEC.model_dump(), "target_transform": form})
    altered = values.copy()
    altered[start:] = altered[start:] * 50 + 1000
    before, after = (training_set_of(history(v), spec) for v in (values, altered))
    assert (before.scaler.center, before.scaler.scale) == (after.scaler.center, after.scaler.scale)
    assert np.array_equal(before.problem().x, after.problem().x)
    assert np.array_equal(before.problem().y, after.problem().y)
    assert np.array_equal(before.stop.targets, after.stop.targets) is (start == 140)


def test_a_row_filled_towards_the_next_part_belongs_to_none() -> None:
    """A gap that ends with the first reading of the tail shows nothing of it to the seasons, experts and scales."""
    steps = np.ones(200)
    steps[[126, 140]] = 3
    training_set = training_set_of(history(walk(200), steps))
    assert not training_set.grid.filled[[training_set.rows_learned - 1, training_set.rows_before_tail - 1]].any()
    assert training_set.grid.filled[[training_set.rows_learned, training_set.rows_before_tail]].all()
    assert training_set.grid.values[training_set.rows_before_tail - 1, 0] == training_set.history.values[139, 0]


@pytest.mark.parametrize("name", ["lags", "coefficients", "bias", "needs"])
def test_the_tail_touches_neither_the_linear_experts_nor_the_seasons(name: str) -> None:
    """They are fitted on everything before it."""
    values = np.sin(np.arange(300) / 4) + 0.1 * walk(300)
    altered = values.copy()
    altered[240:] = altered[240:] * 50 + 1000
    before, after = (training_set_of(history(v)) for v in (values, altered))
    assert before.seasons == after.seasons
    assert np.array_equal(getattr(before.panel, name), getattr(after.panel, name))


def test_no_example_is_taught_by_rows_that_were_drawn_towards_its_own_target() -> None:
    """A filled gap points at the reading after it, so the first reading after a gap is not an example."""
    steps = np.ones(200)
    steps[20:60:10] = 3
    values = walk(200)
    training_set = training_set_of(history(values, steps))
    learned = set(training_set.learn.targets.tolist())
    assert not learned & set(values[20:60:10].tolist())
    assert set(values[5:20].tolist()) | set(values[61:70].tolist()) <= learned


def test_a_problem_is_scaled_and_in_single_precision() -> None:
    """The cohort gets windows relative to their last value, and changes in units of the typical change."""
    training_set = training_set_of(history(walk(200)))
    problem = training_set.problem()
    scale = float(training_set.scaler.scale[0])
    assert {array.dtype for array in (problem.x, problem.y)} == {np.dtype(np.float32)}
    assert problem.x.shape == (121, 5, 1)
    assert (problem.x[:, -1] == 0).all()
    changes = training_set.learn.targets - training_set.learn.windows[:, -1, 0]
    assert problem.y.tolist() == pytest.approx((changes / scale).tolist(), rel=1e-5)


@pytest.mark.parametrize("window", [2, 5, 24, 168])
def test_a_network_needs_as_many_readings_as_the_message_names(window: int) -> None:
    """One reading fewer leaves the linear experts alone, and the message gives the number needed."""
    spec = Spec(window=window, units=3)
    needed = readings_needed(window, SETTINGS)
    training_set = training_set_of(history(walk(needed)), spec)
    assert training_set.without_network is None
    assert min(training_set.sizes) == MIN_EXAMPLES
    short = training_set_of(history(walk(needed - 1)), spec)
    expected = f"too few readings for a network: {needed - 1}, and {needed} are needed for a window of {window} rows"
    assert expected == short.without_network
    assert short.panel.needs.any()


@pytest.mark.parametrize("readings", [1, 2, 3, MIN_READINGS - 1])
def test_a_history_of_a_few_readings_is_too_short_and_nothing_worse(readings: int) -> None:
    """No division by a step that is not there."""
    misfit = unfit(history(walk(readings)))
    assert misfit.cause == "too short"
    assert misfit.reason.startswith(f"{readings} reading{'' if readings == 1 else 's'}, {MIN_READINGS} are needed")


def test_a_series_that_does_not_change_in_the_part_learned_from_is_constant() -> None:
    """Though it may change later: there is nothing to learn from yet."""
    values = np.full(100, 4.0)
    values[70:] = walk(30)
    misfit = unfit(history(values))
    assert misfit.cause == "constant"
    assert "first 59 readings" in misfit.reason


def test_a_series_without_a_step_is_learned_row_by_row() -> None:
    """Where more than one step in twenty is odd, the series has neither a grid nor gaps nor calendar seasons."""
    steps = np.random.default_rng(0).exponential(size=200)
    training_set = training_set_of(history(walk(200), steps))
    assert not training_set.gridded
    assert len(training_set.grid) == 200
    assert not training_set.grid.filled.any()
    assert training_set.seasons == ()


def test_jitter_and_a_few_missing_steps_leave_the_grid() -> None:
    """Real programs send readings a little early or late, and leave some out."""
    rng = np.random.default_rng(0)
    steps = np.where(rng.random(300) < 0.02, 3, 1) + rng.uniform(-0.1, 0.1, 300)
    training_set = training_set_of(history(walk(300), steps))
    assert training_set.gridded
    assert training_set.grid.filled.any()


def test_a_history_in_pieces_shorter_than_a_window_gets_no_network() -> None:
    """The message gives the number of windows left."""
    steps = np.where(np.arange(600) % 24 == 0, 40.0, 1.0)
    training_set = training_set_of(history(walk(600), steps), Spec(window=30, units=3))
    assert training_set.without_network is not None
    assert "0 + 0 + 0 windows" in training_set.without_network


@pytest.mark.parametrize("preset", [{"seasonal": 2}, {"normalise": True}, {"residual": True}, {"calendar": ["day"]}])
def test_every_form_of_input_expresses_targets_that_come_back(preset: dict[str, object]) -> None:
    """The network's target, in the series' unit, is the reading that came."""
    values = np.sin(np.arange(300) / 3.8) * 5 + walk(300) * 0.1
    spec = Spec(**{**SPEC.model_dump(), **preset})
    training_set = training_set_of(history(values), spec)
    problem = training_set.problem()
    assert problem.x.shape[1:] == (5, spec.channels)
    assert np.abs(problem.y).max() < 20
    restored = training_set.inputs(training_set.learn).restore(problem.y)
    assert restored.tolist() == pytest.approx(training_set.learn.targets.tolist(), abs=1e-4)


@pytest.mark.parametrize("largest", [1e31, -1e300, float("inf"), float("nan")])
def test_values_that_single_precision_cannot_hold_are_refused(largest: float) -> None:
    """A model trained on them would answer infinity."""
    values = walk(100)
    values[50] = largest
    assert unfit(history(values)).cause == "refused"


def test_values_that_hardly_differ_are_refused() -> None:
    """The linear experts would not be finite, and a model file with them cannot be read again."""
    tiny = 5e-324 * np.random.default_rng(0).integers(1, 50, 100)
    assert "its values differ by less than 1e-30: bring them in a smaller unit" == unfit(history(tiny)).reason
