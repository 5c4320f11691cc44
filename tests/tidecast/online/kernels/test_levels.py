"""The intervals of a forecast: at several levels, within bounds, after a new version and after a restart."""

import pytest

from tests.harness.models import make_model
from tests.harness.oracles.tracker import Tracker, trackers_in
from tests.tidecast.online.harness import SPEC, ask, entry, forecaster_with, only
from tidecast.models.model import Model
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.interval_widths import FIRST_ERRORS
from tidecast.settings import SeriesSettings


def test_each_new_version_begins_with_its_own_interval() -> None:
    """Its first forecast is bounded by its residuals, whatever the errors of those before it; the next ones adapt."""
    forecaster = forecaster_with(make_model("a", SPEC, span=(0, 0)))
    made = [*ask(forecaster, *(entry(n, value=float(100 * n)) for n in range(1, 7))).forecasts]
    forecaster.set_model("a", 2, make_model("a", SPEC, seed=1, span=(0, 0)))
    made += [*ask(forecaster, *(entry(n, value=float(100 * n)) for n in range(7, 9))).forecasts]
    halves = [f.yhat_upper - f.yhat for f in made if f.yhat_upper is not None]
    own = [half == pytest.approx(2.0) for half in halves]
    assert [True, *[False] * 5, True, False] == own


def test_each_new_version_begins_its_further_intervals_anew() -> None:
    """Its errors at those levels are unknown before the first of them; then each level learns by itself."""
    forecaster = forecaster_with(make_model("a", SPEC, span=(0, 0)), settings=SeriesSettings(more_levels=(0.5,)))
    made = [*ask(forecaster, *(entry(n, value=float(n * n)) for n in range(1, 7))).forecasts]
    forecaster.set_model("a", 2, make_model("a", SPEC, seed=1, span=(0, 0)))
    made += [*ask(forecaster, *(entry(n, value=float(n * n)) for n in range(7, 9))).forecasts]
    assert [0, *[2] * 5, 0, 2] == [len(f.more) for f in made]
    assert [FIRST_ERRORS + 1, 1] == [tracker.errors for tracker in trackers_in(forecaster.states["a"])]


@pytest.mark.parametrize("model", [None, make_model("a", SPEC, half_width=3.0, span=(0, 0))])
def test_every_further_level_has_an_interval_of_its_own(model: Model | None) -> None:
    """Each learns from the same errors at its own pace; only the first starts from the model's own residuals."""
    settings = SeriesSettings(level=0.8, more_levels=(0.5, 0.999))
    forecaster = forecaster_with(*([model] if model else []), settings=settings)
    trackers = [Tracker(), Tracker(), Tracker()]
    if model:
        trackers[0].begin(3.0)
    for n in range(1, 40):
        made = only(ask(forecaster, entry(n, value=float(n * n % 11))))
        for tracker, level in zip(trackers, (0.8, 0.5, 0.999), strict=True):
            if made.error is not None:
                tracker.update(made.error, level)
        first, *others = (tracker.known for tracker in trackers)
        assert (first is None) == (made.yhat_lower is None)
        if first is not None:
            assert (made.yhat - first, made.yhat + first) == (made.yhat_lower, made.yhat_upper)
        expected: dict[str, float] = {}
        for name, half in zip(("50", "99.9"), others, strict=True):
            if half is not None:
                expected |= {f"yhat_lower_{name}": made.yhat - half, f"yhat_upper_{name}": made.yhat + half}
        assert list(expected.items()) == list(made.more)
    assert len(expected) == 4


@pytest.mark.parametrize(("levels", "errors"), [((), [8]), ((0.5, 0.99), [8, 1, 1]), ((0.5,), [8, 8])])
def test_a_restart_with_other_levels_keeps_the_first_interval(levels: tuple[float, ...], errors: list[int]) -> None:
    """The others start afresh, and a level that is not set any more is removed."""
    before = Forecaster(SeriesSettings(more_levels=(0.5,)))
    stored = ask(before, *(entry(n, value=float(n % 3)) for n in range(1, 9))).states
    after = Forecaster(SeriesSettings(more_levels=levels))
    after.restore(stored)
    made = only(ask(after, entry(9, value=5.0)))
    half = trackers_in(before.states["a"])[0].pending
    assert half is not None
    assert made.error is not None
    assert abs(made.error) / half == made.anomaly_score
    assert errors == [tracker.errors for tracker in trackers_in(after.states["a"])]
    assert 2 * len(levels) == len(made.more)


def test_no_forecast_and_no_interval_leaves_its_bounds() -> None:
    """The error is that of the published forecast."""
    settings = SeriesSettings(minimum=0.0, maximum=10.0, more_levels=(0.5,), horizon=3)
    forecaster = forecaster_with(make_model("a", SPEC, span=(0, 0), half_width=50.0), settings=settings)
    values = [5.0, -3.0, 4.0, 25.0, 30.0, -40.0, 0.0, 10.0, 500.0, 3.0]
    made = [*ask(forecaster, *(entry(n, value=v) for n, v in enumerate(values, 1))).forecasts]
    for forecast in made:
        numbers = (
            forecast.yhat,
            forecast.yhat_lower,
            forecast.yhat_upper,
            *(value for name, value in forecast.more if name.startswith("yhat")),
        )
        assert all(0.0 <= number <= 10.0 for number in numbers if number is not None)
    assert [v - f.yhat for v, f in zip(values[1:], made, strict=False)] == [f.error for f in made[1:]]
    assert [5.0, 0.0] == [f.yhat for f in made[:2]]  # the last value's, within bounds
    assert [(0.0, 10.0)] * 3 == [(f.yhat_lower, f.yhat_upper) for f in made[:3]]
