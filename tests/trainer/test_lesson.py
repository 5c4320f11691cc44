"""A history is split by time, scaled by its oldest part, and refused in a sentence where it cannot be learned from."""

import numpy as np
import pytest

from tidecast.model import Spec
from tidecast.settings import TrainSettings
from trainer.history import History
from trainer.lesson import MIN_EXAMPLES, Lesson, Unfit, prepare, readings_needed, split

STEP = 60_000
MAX_GAP = 3
SPEC = Spec(window=5, units=3)
SETTINGS = TrainSettings()


def history(values: np.ndarray, steps: np.ndarray | None = None) -> History:
    """Readings of one feature, a minute apart unless told otherwise."""
    steps = np.ones(len(values)) if steps is None else steps
    return History("s", ("value",), (np.cumsum(steps) * STEP).astype(np.int64), values[:, None].astype(float))


def lesson_of(given: History, spec: Spec = SPEC) -> Lesson:
    """The lesson of a history that has one."""
    lesson = prepare(given, spec, SETTINGS, MAX_GAP)
    assert isinstance(lesson, Lesson), lesson
    return lesson


def unfit(given: History, spec: Spec = SPEC) -> Unfit:
    """Why a history has no lesson."""
    answer = prepare(given, spec, SETTINGS, MAX_GAP)
    assert isinstance(answer, Unfit)
    return answer


def walk(readings: int, seed: int = 0) -> np.ndarray:
    """A series to learn from."""
    return np.random.default_rng(seed).normal(size=readings).cumsum()


def test_the_parts_follow_each_other_in_time_and_share_no_target() -> None:
    """The newest fifth is the tail, the newest fifth of the rest the validation part; all else is learned from."""
    assert split(100, SETTINGS) == (64, 80)
    lesson = lesson_of(history(np.arange(100.0)))
    assert lesson.learn.targets.tolist() == list(range(5, 64))
    assert lesson.stop.targets.tolist() == list(range(64, 80))
    assert lesson.tail == 80


@pytest.mark.parametrize("form", ["change", "level"])
@pytest.mark.parametrize("start", [64, 80])
def test_newer_parts_do_not_touch_the_scaler_nor_what_is_learned_from(form: str, start: int) -> None:
    """Neither the validation part nor the tail leaks into the past."""
    values, spec = walk(100), Spec(**{**SPEC.model_dump(), "form": form})
    altered = values.copy()
    altered[start:] = altered[start:] * 50 + 1000
    before, after = (lesson_of(history(v), spec) for v in (values, altered))
    assert (before.scaler.center, before.scaler.scale) == (after.scaler.center, after.scaler.scale)
    assert np.array_equal(before.problem().x, after.problem().x)
    assert np.array_equal(before.problem().y, after.problem().y)
    assert np.array_equal(before.stop.targets, after.stop.targets) is (start == 80)


def test_no_example_is_taught_by_rows_that_were_drawn_towards_its_own_target() -> None:
    """A filled gap points at the reading after it; of the first reading after a gap nothing is learned."""
    steps = np.ones(120)
    steps[20:60:10] = 3
    values = walk(120)
    lesson = lesson_of(history(values, steps))
    learned = set(lesson.learn.targets.tolist())
    assert not learned & set(values[20:60:10].tolist())
    assert set(values[5:20].tolist()) | set(values[61:70].tolist()) <= learned


def test_a_problem_is_scaled_and_in_single_precision() -> None:
    """What the cohort gets: windows relative to their last value, changes in units of the typical change."""
    lesson = lesson_of(history(walk(100)))
    problem = lesson.problem()
    scale = float(lesson.scaler.scale[0])
    assert {array.dtype for array in (problem.x, problem.y)} == {np.dtype(np.float32)}
    assert problem.x.shape == (59, 5, 1)
    assert (problem.x[:, -1] == 0).all()
    changes = lesson.learn.targets - lesson.learn.windows[:, -1, 0]
    assert problem.y.tolist() == pytest.approx((changes / scale).tolist(), rel=1e-5)


@pytest.mark.parametrize("window", [2, 5, 24, 168])
def test_the_shortest_history_that_is_long_enough_is_the_one_that_the_sentence_names(window: int) -> None:
    """One reading fewer is too short, and the sentence says how many are needed."""
    spec = Spec(window=window, units=3)
    needed = readings_needed(window, SETTINGS)
    lesson = lesson_of(history(walk(needed)), spec)
    assert min(len(lesson.learn), len(lesson.stop), needed - lesson.tail) == MIN_EXAMPLES
    short = unfit(history(walk(needed - 1)), spec)
    assert short.cause == "too short"
    assert f"{needed - 1} readings; a window of {window} rows needs {needed}" in short.reason


@pytest.mark.parametrize("readings", [1, 2, 3])
def test_a_history_of_a_few_readings_is_too_short_and_nothing_worse(readings: int) -> None:
    """No division by a step that is not there."""
    assert unfit(history(walk(readings))).cause == "too short"


def test_a_series_that_does_not_change_in_the_part_learned_from_is_constant() -> None:
    """Though it may change later: there is nothing to learn from yet."""
    values = np.full(100, 4.0)
    values[70:] = walk(30)
    found = unfit(history(values))
    assert found.cause == "constant"
    assert "first 64 readings" in found.reason


def test_a_series_without_a_step_is_irregular() -> None:
    """The sentence gives the share of the steps that fit no grid."""
    steps = np.random.default_rng(0).exponential(size=200)
    found = unfit(history(walk(200), steps))
    assert found.cause == "irregular"
    assert "% of its steps" in found.reason


def test_jitter_and_missing_steps_do_not_make_a_series_irregular() -> None:
    """What real programs do: readings a little early or late, and some left out."""
    rng = np.random.default_rng(0)
    steps = rng.choice([1, 1, 1, 1, 1, 1, 2, 3], 300) + rng.uniform(-0.1, 0.1, 300)
    assert len(lesson_of(history(walk(300), steps)).learn) > 50


def test_a_history_in_pieces_shorter_than_a_window_is_irregular() -> None:
    """The sentence says how many windows are left and what may be done."""
    steps = np.where(np.arange(200) % 5 == 0, 40.0, 1.0)
    found = unfit(history(walk(200), steps))
    assert found.cause == "irregular"
    assert "0 + 0 + 0 windows" in found.reason


@pytest.mark.parametrize("largest", [1e31, -1e300, float("inf"), float("nan")])
def test_values_that_single_precision_cannot_hold_are_refused(largest: float) -> None:
    """Not trained into something that answers infinity."""
    values = walk(100)
    values[50] = largest
    assert unfit(history(values)).cause == "refused"
