"""The evaluation answers as the worker would, and the gate keeps to its rule."""

import numpy as np
import pytest

from tests.models import make_model
from tidecast.model import Model, Spec
from tidecast.windows import Window, to_grid
from trainer import evaluate
from trainer.evaluate import (
    CHAMPION,
    LAST_VALUE,
    MODEL,
    SEASONAL_NAIVE,
    Contest,
    contest,
    forecasts,
    half_width,
    judge,
    scores,
    seasonal_naive,
    skill,
)
from trainer.history import History

STEP = 1000
START = 2_000_000  # after what `make_model` says it was trained on
MAX_GAP = 2
FEATURES = ("value", "wind", "rain")


def history(readings: int = 80, seed: int = 0, gap_share: float = 0.15) -> History:
    """Three features, with gaps short and long, and times that jitter."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(readings) < gap_share, rng.integers(2, 6, readings), 1)
    ts = START + np.cumsum(steps) * STEP + rng.integers(-200, 200, readings)
    return History("s", FEATURES, ts, rng.normal(size=(readings, 3)).cumsum(axis=0))


def live_forecasts(model: Model, given: History, first: int) -> list[float]:
    """What a worker that met the readings one by one would have answered; NaN without a full window."""
    spec = model.spec
    columns = [given.features.index(name) for name in spec.features]
    window = Window(spec.window, len(columns))
    window.step_ms = model.header.step_ms
    answers = []
    for ts, row in zip(given.ts.tolist(), given.values, strict=True):
        rows = window.latest(spec.window)
        answers.append(np.nan if rows is None else float(model.forecast(rows)))
        window.push(ts, row[columns], MAX_GAP)
    return answers[first:]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "spec",
    [Spec(window=6, units=4), Spec(window=4, units=3, target="rain", features=("rain", "value"), form="level")],
    ids=["change", "level of two features"],
)
def test_every_forecast_is_the_one_that_the_worker_would_have_published(seed: int, spec: Spec) -> None:
    """Over gaps short and long, whatever the order of the features in the history."""
    model, given = make_model("s", spec, step_ms=STEP), history(seed=seed)
    answers = forecasts(model, given, 20, MAX_GAP)
    assert answers.tolist() == pytest.approx(live_forecasts(model, given, 20), nan_ok=True)
    assert np.isfinite(answers).any()


def test_a_forecast_knows_nothing_newer_than_the_reading_before() -> None:
    """Not even through the rows that fill the gap before the reading it forecasts."""
    model, given = make_model("s", step_ms=STEP), history(gap_share=0.4)
    answers = forecasts(model, given, 20, MAX_GAP)
    for i in range(20, len(given), 7):
        values = given.values.copy()
        values[i:] += 100
        altered = forecasts(model, History("s", FEATURES, given.ts, values), 20, MAX_GAP)
        assert altered[: i - 19].tolist() == pytest.approx(answers[: i - 19].tolist(), nan_ok=True)


def test_a_long_tail_is_answered_in_parts_that_meet_at_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, the answers are the same."""
    model, given = make_model("s", step_ms=STEP), history()
    whole = forecasts(model, given, 20, MAX_GAP)
    monkeypatch.setattr(evaluate, "CHUNK", 7)
    assert forecasts(model, given, 20, MAX_GAP).tolist() == pytest.approx(whole.tolist(), nan_ok=True)


def test_an_answer_that_is_no_number_counts_as_the_last_value() -> None:
    """So the worker has it; to leave such rows out would flatter the model."""
    sound, given = make_model("s", step_ms=STEP), history(gap_share=0)
    broken = Model(sound.header, {**sound.weights, "dense.bias": np.array([np.inf], np.float32)})
    assert forecasts(broken, given, 20, MAX_GAP).tolist() == given.values[19:-1, 0].tolist()


def test_a_model_that_reads_a_feature_the_history_lacks_answers_nothing() -> None:
    """It is left out of the contest, not given made-up inputs."""
    model = make_model("s", Spec(window=6, units=4, features=("value", "sun")), step_ms=STEP)
    assert np.isnan(forecasts(model, history(), 20, MAX_GAP)).all()


def test_the_seasonal_naive_answers_with_the_value_one_season_before_the_step_to_come() -> None:
    """Where a gap hides that value, with the last one."""
    given = history()
    grid = to_grid(given.ts, given.values, STEP, MAX_GAP)
    rows, first, season = np.flatnonzero(~grid.filled), 30, 5
    expected = []
    for i in range(first, len(given)):
        newest = int(rows[i - 1])
        before = newest + 1 - season
        seen = before >= 0 and grid.segment[before] == grid.segment[newest]
        expected.append(grid.values[before if seen else newest, 0])
    assert seasonal_naive(grid, first, season).tolist() == expected
    assert seasonal_naive(grid, 1, len(grid) + 9).tolist() == given.values[:-1, 0].tolist()


def test_scores_are_the_textbook_ones() -> None:
    """By hand: errors 1, 0 and 3 where the last value's were 2 on average."""
    found = scores(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 6.0]), scale=2.0)
    assert (found.mae, found.rmse, found.mase) == pytest.approx((4 / 3, np.sqrt(10 / 3), 2 / 3))


def test_a_part_before_the_tail_that_never_changes_leaves_no_mase() -> None:
    """And a last value that made no error leaves no skill: neither is a division by zero."""
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
    """Three errors cannot show a 99 % interval; the widest of them is what is known."""
    assert half_width(np.array([-3.0, 1.0, 2.0]), 0.99) == 3.0
    assert half_width(np.array([-3.0, 1.0, 2.0]), 0.5) == 2.0
    assert half_width(np.arange(1.0, 11.0), 0.9) == 10.0


def contestants(model: float, champion: float | None = None) -> Contest:
    """A contest in which the last value is off by 2, the others as given."""
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
    ruling = judge(contestants(model, champion), champion=7 if champion else None)
    assert ruling.promote is promoted
    assert ruling.evidence.verdict.startswith("published" if promoted else "not published")


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
        for said in ("version 7", f"{champion:.4g}", "MAE 1 on 10 readings", "last value 2", "skill 0.50"):
            assert said in evidence.verdict


def test_all_contestants_are_scored_on_rows_that_all_could_answer() -> None:
    """A champion with a longer window is not excused from the rows after a gap; those rows count for nobody."""
    given = history()
    model = make_model("s", Spec(window=3, units=4), step_ms=STEP)
    champion = make_model("s", Spec(window=9, units=4), step_ms=STEP)
    alone = contest(given, 30, model, None, 5, MAX_GAP)
    together = contest(given, 30, model, champion, 5, MAX_GAP)
    both = np.isfinite(forecasts(champion, given, 30, MAX_GAP)) & np.isfinite(forecasts(model, given, 30, MAX_GAP))
    assert set(alone.answers) == {MODEL, LAST_VALUE, SEASONAL_NAIVE}
    assert set(together.answers) == {*alone.answers, CHAMPION}
    assert 0 < np.count_nonzero(both) < len(alone.actual)
    assert together.actual.tolist() == given.values[30:, 0][both].tolist()
    assert together.answers[LAST_VALUE].tolist() == given.values[29:-1, 0][both].tolist()
    assert {len(answer) for answer in together.answers.values()} == {len(together.actual)}


def test_the_champion_is_judged_only_by_readings_newer_than_it_was_trained_on() -> None:
    """What it has learned by heart proves nothing; with too few other readings it takes no part."""
    given = history(gap_share=0)
    champion = make_model("s", step_ms=STEP)

    def trained_until(reading: int) -> Model:
        span = (0, int(given.ts[reading]))
        return Model(champion.header.model_copy(update={"span": span}), champion.weights)

    half = contest(given, 40, champion, trained_until(59), None, MAX_GAP)
    assert half.actual.tolist() == given.values[60:, 0].tolist()
    late = contest(given, 40, champion, trained_until(len(given) - 3), None, MAX_GAP)
    assert CHAMPION not in late.answers
    assert len(late.actual) == 40


def test_mase_is_measured_by_the_part_before_the_tail() -> None:
    """A wild tail does not make its own errors look small."""
    given = history()
    given.values[40:, 0] *= 100
    found = contest(given, 40, make_model("s", step_ms=STEP), None, None, MAX_GAP)
    assert found.scale == pytest.approx(np.abs(np.diff(given.values[:40, 0])).mean())
