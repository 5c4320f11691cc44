"""The evaluation answers as the worker would."""

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.harness.oracles.blending import learn
from tests.trainer.evaluation.harness import FEATURES, MAX_GAP, answers_of, history, model_of
from tidecast.arrays import Float
from tidecast.files.history import History
from tidecast.models.experts import EXPERTS, HALF_LIVES, LSTM, NAIVE
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.online.forecaster import Forecaster
from tidecast.settings import SeriesSettings
from trainer.evaluation import answers as module
from trainer.evaluation.answers import blended, grid_of
from trainer.evaluation.virtual_clock import entries_of


def live_answers(model: Model, given: History, first: int) -> Float:
    """Return each expert's answers to a worker that reads the readings one by one."""
    forecaster = Forecaster(SeriesSettings(max_gap=MAX_GAP, target=model.spec.features[0]))
    forecaster.set_model("s", 1, model)
    answers = [np.full(len(EXPERTS), np.nan)]
    for entry_id, fields in entries_of([given]):
        forecaster.handle([(entry_id, fields)], int(given.ts[-1]))
        answers.append(forecaster.states["s"].answers.copy())
    return np.array(answers[first:-1])


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
    np.testing.assert_allclose(answers_of(model, given, 20), live_answers(model, given, 20), rtol=1e-4, atol=1e-5)


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
    monkeypatch.setattr(module, "CHUNK", 7)
    np.testing.assert_allclose(answers_of(model, given, 20), whole, rtol=1e-6)


def test_an_answer_that_is_no_number_leaves_the_others_to_answer() -> None:
    """A broken network has no weight."""
    sound = make_model("s", step_ms=1000)
    given = history(gap_share=0)
    broken = Model(sound.header, {**sound.weights, "dense.bias": np.array([np.inf], np.float32)}, sound.panel)
    answers = answers_of(broken, given, 20)
    assert np.isnan(answers[:, LSTM]).all()
    blend = blended(answers, given.values[20:, 0])
    assert np.isfinite(blend.yhat).all()
    assert not blend.weights[:, LSTM].any()


def test_a_model_that_reads_a_feature_the_history_lacks_answers_nothing() -> None:
    """It is left out of the contest, not given made-up inputs."""
    model = make_model("s", Spec(window=6, units=4, features=("value", "sun")), step_ms=1000)
    assert grid_of(model, history(), MAX_GAP) is None


def test_the_blend_learns_from_each_reading_only_once_it_came() -> None:
    """The first forecast is the last value's; then an expert without an error takes over, cautiously."""
    actual = np.arange(5.0)
    answers = np.full((5, len(EXPERTS)), np.nan)
    answers[:, NAIVE] = actual - 1
    answers[:, LSTM] = actual
    blend = blended(answers, actual)
    weights = blend.weights[:, LSTM].tolist()
    assert blend.yhat[0] == -1.0
    assert [0.0, *sorted(weights[1:])] == weights
    assert 0.5 < weights[1] < weights[4] < 1


def test_a_blend_goes_on_from_the_records_it_is_given() -> None:
    """In halves it returns the same as in one go."""
    rng = np.random.default_rng(0)
    actual, answers = rng.normal(size=240), rng.normal(size=(240, len(EXPERTS)))
    whole = blended(answers, actual)
    errors = np.full((len(HALF_LIVES), len(EXPERTS)), np.nan)
    evidence = np.zeros(len(EXPERTS))
    for answer, y in zip(answers[:220], actual[:220].tolist(), strict=True):
        errors, evidence = learn(errors, answer, y, evidence=evidence)
    assert whole.yhat[220:].tolist() == pytest.approx(blended(answers[220:], actual[220:], errors).yhat.tolist())
