"""Series that the shared network of their cohort answers."""

import numpy as np
import pytest

from tests.harness.models import make_model, make_shared
from tests.harness.oracles.answers import shared_answers
from tests.tidecast.online.harness import SPEC, ask, entry, forecaster_with
from tidecast.models.experts import SHARED
from tidecast.models.model import Model
from tidecast.settings import SeriesSettings

HOUR = 3_600_000
START_MS = 1_600_000_000_000


def rising() -> Model:
    """Return a cohort's network with one rule: a window of 5 that rises by the same each step will rise by as much."""
    network = make_shared("seconds", step_ms=1000.0)
    silent = {name: np.zeros_like(w) for name, w in network.weights.items()}
    return Model(network.header, silent | {"dense.bias": np.full(1, 0.5**0.5, np.float32)}, network.panel)


def test_a_young_series_is_served_by_the_network_of_its_cohort() -> None:
    """From the fifth row on it forecasts, and the blend follows it; no model is named."""
    forecaster = forecaster_with(settings=SeriesSettings(rows_kept=2), shared=rising())
    made = [*ask(forecaster, *(entry(n, value=float(2 * n)) for n in range(1, 40))).forecasts]
    assert {"naive"} == {f.kind for f in made[:2]}
    assert [f.y + 2 for f in made[30:]] == pytest.approx([f.yhat for f in made[30:]], abs=0.05)
    assert {None} == {f.model for f in made}
    assert forecaster.states["a"].errors[0, SHARED] < 1e-5


@pytest.mark.parametrize(("step", "known"), [(1000, True), (1005, True), (2000, False)])
def test_a_young_series_belongs_to_the_cohort_of_its_own_step(step: int, *, known: bool) -> None:
    """Of another step, it has no network of a cohort."""
    forecaster = forecaster_with(shared=rising())
    ask(forecaster, *(entry(n, value=float(n), ts=n * step) for n in range(1, 10)))
    assert known == np.isfinite(forecaster.states["a"].answers[SHARED])


def test_a_network_that_a_cohort_gets_later_serves_the_series_that_are_there() -> None:
    """A series with a model keeps the rows that it reads, one without goes on with those that it has."""
    model = make_model("a", SPEC, shared="seconds", seasons=(30,), span=(0, 0))
    forecaster = forecaster_with(model, settings=SeriesSettings(rows_kept=6))
    ask(forecaster, *(entry(n, series, value=float(n)) for n in range(1, 9) for series in "ab"))
    forecaster.set_shared_network("seconds", rising())
    ask(forecaster, *(entry(n, series, value=float(n)) for n in range(9, 300) for series in "ab"))
    assert (34, 34) == (forecaster.rows_read("a"), forecaster.states["a"].window.length)
    assert 6 == forecaster.states["b"].window.length
    last = [*ask(forecaster, entry(300, "a", value=300.0), entry(300, "b", value=300.0)).forecasts]
    assert [("a", 1), ("b", None)] == [(f.series, f.model) for f in last]
    answers = [forecaster.states[series].answers[SHARED] for series in "ab"]
    assert [301.0, 301.0] == pytest.approx(answers, abs=1e-4)


@pytest.mark.parametrize(("step", "seasons"), [(HOUR, (24, 168)), (HOUR // 60, ())], ids=["hours", "minutes"])
def test_a_young_series_tells_the_network_of_its_cohort_the_seasons_of_its_calendar(
    step: int, seasons: tuple[int, ...]
) -> None:
    """They follow from the step. A day of minutes, which no window holds, is left out as in training."""
    network = make_shared("steps", step_ms=step, pretrained=True)
    forecaster = forecaster_with(shared=network)
    values = np.random.default_rng(0).normal(size=400)
    ask(forecaster, *(entry(n, value=value, ts=START_MS + n * step) for n, value in enumerate(values.tolist(), 1)))
    expected = shared_answers(network, values[None, :, None], np.array([400]), seasons, np.zeros(1))
    assert 400 == forecaster.states["a"].window.length
    assert forecaster.states["a"].answers[SHARED] == pytest.approx(float(expected[0]), abs=1e-5)
