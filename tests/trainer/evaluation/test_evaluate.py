"""The evaluation answers as the worker would, and the gate keeps to its rule."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.harness.models import make_model
from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models import experts
from tidecast.models.experts import EXPERTS, LSTM, NAIVE, SHARED
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.time_grid import to_grid
from tidecast.online.window import Window
from trainer.evaluation import evaluate
from trainer.evaluation.evaluate import (
    CHAMPION,
    HANDICAP,
    LAST_VALUE,
    MODEL,
    MOST_MOVES,
    Contest,
    MoveStats,
    blended,
    evaluate_candidates,
    expert_answers,
    first_errors,
    habit_of,
    half_width,
    judge,
    scores,
    skill,
)
from trainer.fit.linear import fit_panel

STEP = 1000
START = 2_000_000  # after the end of the training in `make_model`
MAX_GAP = 2
FEATURES = ("value", "wind", "rain")


def history(readings: int = 80, seed: int = 0, gap_share: float = 0.15) -> History:
    """Three features, with gaps short and long, and times that jitter."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(readings) < gap_share, rng.integers(2, 6, readings), 1)
    ts = START + np.cumsum(steps) * STEP + rng.integers(-200, 200, readings)
    return History("s", FEATURES, ts, rng.normal(size=(readings, 3)).cumsum(axis=0))


def model_of(given: History, spec: Spec, seasons: tuple[int, ...] = (5, 12)) -> Model:
    """Return a model with random weights of its network, and linear experts fitted to the history."""
    made = make_model("s", spec, step_ms=STEP)
    columns = [given.features.index(name) for name in spec.features]
    grid = to_grid(given.ts, given.values[:, columns], STEP, MAX_GAP)
    header = made.header.model_copy(update={"seasons": seasons, "calendar": ("day",)})
    return Model(header, made.weights, fit_panel(grid, seasons, len(grid)))


def live_answers(model: Model, given: History, first: int) -> Float:
    """Return each expert's answers to a worker that reads the readings one by one."""
    spec = model.spec
    columns = [given.features.index(name) for name in spec.features]
    window = Window(model.rows, len(columns))
    window.step_ms = model.header.step_ms
    answers = []
    for ts, row in zip(given.ts.tolist(), given.values, strict=True):
        if window.length:
            rows = window.rows
            padded = np.concatenate([np.zeros((model.rows - len(rows), len(columns))), rows])
            answers.append(model.answers(padded[None], np.array([len(rows)]), None, np.array([window.last_ts]))[0])
        else:
            answers.append(np.full(len(EXPERTS), np.nan))
        window.push(ts, row[columns], MAX_GAP)
    return np.array(answers[first:])


def answers_of(model: Model, given: History, first: int) -> Float:
    """Return the experts' answers, which the history's columns allow."""
    answers = expert_answers(model, None, given, first, MAX_GAP)
    assert answers is not None
    return answers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "spec",
    [
        Spec(window=6, units=4),
        Spec(window=4, units=3, target="rain", features=("rain", "value"), target_transform="level"),
        Spec(window=6, units=4, seasonal=2, normalise=True, hidden=3),
        Spec(window=6, units=4, residual=True),
        Spec(window=6, units=4, seasonal=1, calendar=("day", "week")),
    ],
    ids=["change", "level of two features", "seasonal", "residual", "calendar"],
)
def test_every_answer_is_the_one_that_the_worker_would_have_got(seed: int, spec: Spec) -> None:
    """Over gaps short and long, whatever the order of the features in the history."""
    given = history(160, seed=seed)
    model = model_of(given, spec)
    np.testing.assert_allclose(answers_of(model, given, 20), live_answers(model, given, 20), rtol=1e-6, atol=1e-9)


def test_an_answer_knows_nothing_newer_than_the_reading_before() -> None:
    """This includes the rows that fill the gap before the reading to forecast."""
    given = history(gap_share=0.4)
    model = model_of(given, Spec(window=6, units=4))
    answers = answers_of(model, given, 20)
    for i in range(20, len(given), 7):
        values = given.values.copy()
        values[i:] += 100
        altered = answers_of(model, History("s", FEATURES, given.ts, values), 20)
        np.testing.assert_array_equal(altered[: i - 19], answers[: i - 19])


def test_a_long_tail_is_answered_in_parts_that_meet_at_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, the answers are the same."""
    given = history()
    model = model_of(given, Spec(window=6, units=4))
    whole = answers_of(model, given, 20)
    monkeypatch.setattr(evaluate, "CHUNK", 7)
    np.testing.assert_allclose(answers_of(model, given, 20), whole, rtol=1e-6)


def test_an_answer_that_is_no_number_leaves_the_others_to_answer() -> None:
    """A broken network has no weight; the forecast is the last value."""
    sound = make_model("s", step_ms=STEP)
    given = history(gap_share=0)
    broken = Model(sound.header, {**sound.weights, "dense.bias": np.array([np.inf], np.float32)}, sound.panel)
    answers = answers_of(broken, given, 20)
    assert np.isnan(answers[:, LSTM]).all()
    assert blended(answers, given.values[20:, 0]).yhat.tolist() == given.values[19:-1, 0].tolist()


def test_a_model_that_reads_a_feature_the_history_lacks_answers_nothing() -> None:
    """It is left out of the contest, not given made-up inputs."""
    model = make_model("s", Spec(window=6, units=4, features=("value", "sun")), step_ms=STEP)
    assert expert_answers(model, None, history(), 20, MAX_GAP) is None


def test_the_blend_learns_from_each_reading_only_once_it_came() -> None:
    """The first forecast is the last value's; then the experts without an error take over."""
    actual = np.arange(5.0)
    answers = np.full((5, len(EXPERTS)), np.nan)
    answers[:, NAIVE] = actual - 1
    answers[:, LSTM] = actual
    blend = blended(answers, actual)
    assert blend.yhat.tolist() == [-1.0, 1.0, 2.0, 3.0, 4.0]
    assert blend.weights[0].argmax() == NAIVE
    assert blend.weights[1:, LSTM].tolist() == [1.0] * 4


def test_a_blend_goes_on_from_the_records_it_is_given() -> None:
    """In halves it returns the same as in one go."""
    rng = np.random.default_rng(0)
    actual, answers = rng.normal(size=40), rng.normal(size=(40, len(EXPERTS)))
    whole = blended(answers, actual)
    errors = np.full((len(experts.HALF_LIVES), len(EXPERTS)), np.nan)
    for answer, y in zip(answers[:20], actual[:20].tolist(), strict=True):
        errors = experts.learn(errors, answer, y)
    assert whole.yhat[20:].tolist() == blended(answers[20:], actual[20:], errors).yhat.tolist()


def test_the_first_records_are_the_mean_errors_on_the_tail() -> None:
    """Each is over the readings that the expert answered; one without answers has no record."""
    answers = np.full((3, len(EXPERTS)), np.nan)
    answers[:, NAIVE] = [1.0, 2.0, 3.0]
    answers[2, LSTM] = 5.0
    errors = first_errors(answers, np.zeros(3), MoveStats(1.0, 1.0, broken=False))
    assert errors[:, NAIVE].tolist() == [2.0] * len(errors)
    assert errors[:, LSTM].tolist() == [5.0] * len(errors)
    assert np.isnan(errors).sum() == len(errors) * (len(EXPERTS) - 2)


def test_after_a_broken_tail_the_last_value_leads() -> None:
    """No expert begins with a better record; one that was worse keeps its own, and no error counts for too much."""
    answers = np.full((3, len(EXPERTS)), np.nan)
    answers[:, NAIVE] = [1.0, 2.0, 1e6]
    answers[:, LSTM] = 0.5
    answers[:, SHARED] = 1e9
    errors = first_errors(answers, np.zeros(3), MoveStats(1.0, 1.0, broken=True))[0]
    naive = (1.0 + 2.0 + MOST_MOVES) / 3
    assert (naive, HANDICAP * naive, MOST_MOVES) == pytest.approx((errors[NAIVE], errors[LSTM], errors[SHARED]))


@pytest.mark.parametrize(
    ("tail", "broken"),
    [
        (lambda y: y, False),
        (lambda y: np.full_like(y, y[0]), False),
        (lambda y: np.where(np.arange(len(y))[::-1] == 30, 1000.0, y), True),
        (lambda y: y * 1000, True),
        (lambda y: np.random.default_rng(0).normal(0, 1, len(y)), True),
    ],
)
@pytest.mark.parametrize("also", [0, 100])
def test_a_tail_unlike_all_before_is_told(tail: Callable[[Float], Float], broken: bool, also: int) -> None:
    """Also where the last readings before it are unusual as well; a sensor that is stuck does no harm."""
    y = np.sin(np.arange(600) / 4) + np.random.default_rng(0).normal(0, 0.1, 600)
    usual = float(np.abs(np.diff(y)).mean())
    y[500 - also :] = tail(y[500 - also :])
    habit = habit_of(y, 500)
    assert broken == habit.broken
    assert usual == pytest.approx(habit.move, rel=0.1)


def test_scores_are_the_textbook_ones() -> None:
    """By hand: errors 1, 0 and 3 where the last value's were 2 on average."""
    score = scores(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 6.0]), scale=2.0)
    assert (score.mae, score.rmse, score.mase) == pytest.approx((4 / 3, np.sqrt(10 / 3), 2 / 3))


def test_a_part_before_the_tail_that_never_changes_leaves_no_mase() -> None:
    """A last value without error leaves no skill either: neither is a division by zero."""
    assert scores(np.zeros(2), np.ones(2), scale=0.0).mase is None
    assert skill(1.0, 0.0) == 0.0
    assert skill(1.0, 4.0) == 0.75


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_the_half_width_covers_the_next_error_as_often_as_it_says(level: float) -> None:
    """Also from few errors, where the plain quantile would be too narrow."""
    errors = np.random.default_rng(0).normal(size=(4000, 20))
    covered = [abs(row[-1]) <= half_width(row[:-1], level) for row in errors]
    assert np.mean(covered) >= min(level, 19 / 20) - 0.02


def test_the_half_width_of_few_errors_is_at_most_the_largest() -> None:
    """Three errors cannot show a 99 % interval; the widest of them is the best estimate."""
    assert half_width(np.array([-3.0, 1.0, 2.0]), 0.99) == 3.0
    assert half_width(np.array([-3.0, 1.0, 2.0]), 0.5) == 2.0
    assert half_width(np.arange(1.0, 11.0), 0.9) == 10.0


def contestants(model: float, champion: float | None = None) -> Contest:
    """Return a contest in which the last value is off by 2, the others as given."""
    errors = {MODEL: model, LAST_VALUE: 2.0} | ({CHAMPION: champion} if champion is not None else {})
    return Contest(np.zeros(10), {name: np.full(10, error) for name, error in errors.items()}, None, 2.0)


@pytest.mark.parametrize(
    ("model", "champion", "promoted"),
    [
        (1.0, None, True),
        (2.0, None, True),
        (2.1, None, False),
        (1.0, 1.1, True),
        (1.1, 1.1, False),
        (1.2, 1.1, False),
        (3.0, 4.0, True),
    ],
)
def test_the_gate_lets_through_what_improves_on_that_which_answers_now(
    model: float, champion: float | None, promoted: bool
) -> None:
    """Without a champion the last value answers; a tie keeps the champion; a bad champion gives way to a better one."""
    decision = judge(contestants(model, champion), champion=7 if champion else None)
    assert decision.promote is promoted
    assert decision.evidence.verdict.startswith("published" if promoted else "not published")


def test_the_evidence_tells_the_figures_whatever_was_decided() -> None:
    """All contestants' scores on the same rows, and a sentence with the numbers."""
    for champion in (0.5, 1.5):
        evidence = judge(contestants(1.0, champion), champion=7).evidence
        assert {name: score.mae for name, score in evidence.scores.items()} == {
            MODEL: 1.0,
            LAST_VALUE: 2.0,
            CHAMPION: champion,
        }
        assert (evidence.rows, evidence.skill) == (10, 0.5)
        for words in ("version 7", f"{champion:.4g}", "MAE 1 on 10 readings", "last value 2", "skill 0.50"):
            assert words in evidence.verdict


def contest_of(given: History, tail: int, model: Model, champion: Model | None = None) -> Contest:
    """Return a contest without a cohort's network."""
    current = (champion, None) if champion else None
    return evaluate_candidates(given, tail, answers_of(model, given, tail), current, model, MAX_GAP)


def test_every_expert_that_answered_all_readings_is_scored_beside_the_blend() -> None:
    """The season is the first of the model's; an expert that a gap silenced is left out."""
    given = history(gap_share=0)
    model = model_of(given, Spec(window=6, units=4))
    compared = contest_of(given, 40, model)
    assert {MODEL, LAST_VALUE, "seasonal_naive", "smoothing", "linear_recent", "lstm"} <= set(compared.answers)
    assert compared.season == 5
    assert compared.answers["seasonal_naive"].tolist() == given.values[35:-5, 0].tolist()
    assert compared.answers[LAST_VALUE].tolist() == given.values[39:-1, 0].tolist()
    usual = habit_of(given.values[:, 0], 40).largest
    alone = blended(answers_of(model, given, 40), given.values[40:, 0], usual=usual)
    assert compared.answers[MODEL].tolist() == alone.yhat.tolist()
    torn = history()
    assert "lstm" not in contest_of(torn, 30, model).answers


def test_the_champion_is_judged_only_by_readings_newer_than_it_was_trained_on() -> None:
    """The part that it has learned by heart proves nothing; with too few other readings it is left out."""
    given = history(gap_share=0)
    model = make_model("s", step_ms=STEP)

    def trained_until(reading: int) -> Model:
        span = (0, int(given.ts[reading]))
        return Model(model.header.model_copy(update={"span": span}), model.weights, model.panel)

    half = contest_of(given, 40, model, trained_until(59))
    assert CHAMPION in half.answers
    assert half.actual.tolist() == given.values[60:, 0].tolist()
    late = contest_of(given, 40, model, trained_until(len(given) - 3))
    assert CHAMPION not in late.answers
    assert len(late.actual) == 40


def test_mase_is_measured_by_the_part_before_the_tail() -> None:
    """A wild tail does not make its own errors look small."""
    given = history()
    given.values[40:, 0] *= 100
    compared = contest_of(given, 40, make_model("s", step_ms=STEP))
    assert compared.scale == pytest.approx(np.abs(np.diff(given.values[:40, 0])).mean())
