"""The anomaly score: defined wherever an interval stood, finite, and in accord with the interval and the metrics."""

import math
from itertools import pairwise

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model
from tests.tidecast.online.harness import answers_to, outcome_of
from tidecast.models.spec import Spec
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.interval_widths import MOST_SCORE, anomaly_score
from tidecast.settings import SeriesSettings

EVERYWHERE = (-math.inf, math.inf)
SURPRISES = {
    "after a constant": [5, 5, 5, 6],
    "after zeros": [0, 0, 0, 0, 1e-300],
    "by a hair": [1e9] * 30 + [1e9 + 1e-6],
    "beyond any size": [1e-300] * 4 + [3.4e38],
    "after a long rest": [7, 8] * 30 + [8] * 2000 + [9],
    "of the smallest errors": [5, 5 + 1e-15, 5, 5, 5, 3.4e38, -3.4e38],
}


@pytest.mark.parametrize("values", SURPRISES.values(), ids=SURPRISES)
def test_a_surprise_has_a_finite_score_above_1(values: list[float]) -> None:
    """Where nothing ever moved, a user wants an alert about a move."""
    made = answers_to(Forecaster(SeriesSettings()), values)
    assert 1 < made[-1].anomaly_score <= MOST_SCORE
    assert all(math.isfinite(f.anomaly_score) for f in made if f.anomaly_score is not None)


def test_a_reading_that_an_interval_without_width_foretold_has_a_score_of_0() -> None:
    """A constant series is inside its interval, and is counted so."""
    made = answers_to(Forecaster(SeriesSettings()), [5, 5, 5, 5])
    assert [None, None, 0.0, 0.0] == [f.anomaly_score for f in made]


SERIES = [
    *SURPRISES.values(),
    [3.0] * 10 + [4.0] * 10 + [3.0] * 10,
    [0.1 * (n * n % 7) for n in range(300)],
    [5.0, -3.0, 4.0, 25.0, 30.0, -40.0, 0.0, 10.0, 500.0, 3.0] * 5,
]


@pytest.mark.parametrize("bounds", [{}, {"minimum": 0.0, "maximum": 10.0}], ids=["free", "bounded"])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("values", SERIES, ids=range(len(SERIES)))
def test_metrics_scores_and_intervals_count_the_same_readings(
    values: list[float], *, trained: bool, bounds: dict[str, float]
) -> None:
    """A reader of the wire may count by the score or by the ends of the interval, and gets the worker's own counts."""
    forecaster = Forecaster(SeriesSettings(**bounds))
    if trained:
        forecaster.set_model(
            "a", 1, make_model("a", Spec(window=4, units=3), step_ms=3_600_000, span=(0, 0), half_width=2)
        )
    outcome = outcome_of(forecaster, values)
    made = [*outcome.forecasts]
    scores = [f.anomaly_score for f in made if f.anomaly_score is not None]
    by_score = {"inside": sum(score <= 1 for score in scores), "outside": sum(score > 1 for score in scores)}
    stood = [(f, now.y) for f, now in pairwise(made) if f.yhat_lower is not None]
    inside = sum(f.yhat_lower <= y <= f.yhat_upper for f, y in stood)
    assert by_score == {"inside": inside, "outside": len(stood) - inside}
    assert by_score == dict(outcome.intervals)


number = st.floats(-3.4e38, 3.4e38)


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(number, number, st.floats(0, 1e39), st.sampled_from([EVERYWHERE, (0.0, 10.0)]))
def test_a_score_is_finite_and_above_1_exactly_outside(
    y: float, yhat: float, half: float, bounds: tuple[float, float]
) -> None:
    """Also where the ends of the interval were rounded, or cut by bounds."""
    yhat = min(max(yhat, bounds[0]), bounds[1])
    lower, upper = np.clip([yhat - half, yhat + half], *bounds)
    score = anomaly_score(y, yhat, half, bounds)
    assert 0 <= score <= MOST_SCORE
    assert (score > 1) == (not lower <= y <= upper)
    if bounds == EVERYWHERE and 0 < half < np.inf:
        assert min(abs(y - yhat) / half, MOST_SCORE) == pytest.approx(score)
