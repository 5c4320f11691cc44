"""What experts of the users' own get and give in a batch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.harness.models import make_model
from tests.tidecast.online.harness import BEGUN_MS, HOUR_MS, SETTINGS, outcome_of
from tidecast.arrays import Float
from tidecast.models.known.values import ALWAYS, KnownValues
from tidecast.models.own_model import OwnModel
from tidecast.models.spec import Spec
from tidecast.online.forecaster import Forecaster
from tidecast.online.own_experts import OwnCall, OwnFailure

SPEC = Spec(window=4, units=3, known=("price",))


class Recorder:
    """A runner that keeps the calls, and answers with the last column's newest value."""

    def __init__(self) -> None:
        self.calls: list[OwnCall] = []

    def forecast(self, calls: Sequence[OwnCall]) -> tuple[list[Float], list[OwnFailure]]:
        """Keep the calls; the expert of series `b` fails."""
        self.calls += calls
        failures = [OwnFailure("b", "it failed")] if any(call.series == "b" for call in calls) else []
        return [call.windows[:, -1, -1] for call in calls], failures


def forecaster_with(runner: Recorder, spec: Spec, series: str = "a") -> Forecaster:
    """Return a forecaster with a model that has an own expert of two rows."""
    forecaster = Forecaster(SETTINGS, own=runner)
    model = make_model(series, spec, step_ms=HOUR_MS)
    forecaster.set_model(series, 3, replace(model, own=OwnModel("mine.py:best", 2, b"")))
    return forecaster


def test_each_reading_has_a_window_of_its_own() -> None:
    """Several readings of a series in one batch are one call; the first reading has too few rows."""
    runner = Recorder()
    outcome_of(forecaster_with(runner, without_known(SPEC)), [1.0, 2.0, 4.0])
    (call,) = runner.calls
    assert ("a", 3) == (call.series, call.version)
    assert [[[1.0], [2.0]], [[2.0], [4.0]]] == call.windows.tolist()


def test_known_inputs_are_the_last_columns() -> None:
    """The newest row has the value of the time to forecast, as in training; without it the function is not called."""
    values = KnownValues()
    values.add("a", "price", BEGUN_MS + HOUR_MS * np.arange(3), np.array([10.0, 11.0, 12.0]), ALWAYS)
    runner = Recorder()
    forecaster = forecaster_with(runner, SPEC)
    forecaster.known = values
    outcome_of(forecaster, [1.0, 2.0, 4.0])
    (call,) = runner.calls
    assert [[[1.0, 11.0], [2.0, 12.0]]] == call.windows.tolist()


def test_a_failure_is_an_event_of_its_series() -> None:
    """It is committed with the readings of the batch."""
    result = outcome_of(forecaster_with(Recorder(), without_known(SPEC), "b"), [1.0, 2.0], "b")
    assert [("expert_failed", "b", "it failed")] == [
        (event.kind, event.series, event.detail) for event in result.events if event.kind == "expert_failed"
    ]


def without_known(spec: Spec) -> Spec:
    """Return a spec without known inputs."""
    return spec.model_copy(update={"known": ()})
