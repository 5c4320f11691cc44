"""The description of a stored state."""

import numpy as np
import pytest

from tidecast.errors import StateError
from tidecast.models.experts import EXPERTS, LSTM, NAIVE
from tidecast.online.drift import KINDS
from tidecast.online.kernels.detection.drift_sums import JUMP_STAYS, LOSS_MOST
from tidecast.online.series.describe_state import describe_state
from tidecast.online.series.state import SeriesState
from tidecast.online.shadow_test import begin
from tidecast.online.window import Window


def a_state() -> SeriesState:
    """Return the state of a series with two readings."""
    state = SeriesState(("value",), Window(8, 1))
    for second in range(2):
        state.window.push(1000 * second, [1.0], 3)
    state.fields.watch.seen = 2
    return state


def test_of_a_young_series_little_is_known() -> None:
    """No version, no error, no trial."""
    facts = describe_state(a_state().head())
    assert (None, 1000, 2, 1000.0, {}) == tuple(
        facts[name] for name in ("version", "last_ts", "readings", "step_ms", "errors")
    )
    assert (None, 0, dict.fromkeys(KINDS, 0.0)) == (facts["probation"], facts["no_alarm_for"], facts["drift"])


def test_errors_and_drift_are_told_by_name() -> None:
    """The worse of an expert's records; sums in thresholds, and the larger of a level's two."""
    state = a_state()
    state.fields.last_version = 3
    state.errors[:, NAIVE] = 2.0, 1.0
    state.errors[:, LSTM] = 0.5, 0.75
    drift = state.fields.drift
    drift.seen = 10
    drift.quiet = 100
    drift.stayed = JUMP_STAYS / 2
    drift.lost_weight = LOSS_MOST / 4
    facts = describe_state(state.head())
    assert {EXPERTS[NAIVE]: 2.0, EXPERTS[LSTM]: 0.75} == facts["errors"]
    assert (3, 90, 0.5, 0.25) == (
        facts["version"],
        facts["no_alarm_for"],
        facts["drift"]["level"],
        facts["drift"]["model_degraded"],
    )


def test_a_trial_is_told() -> None:
    """With its figures so far."""
    state = a_state()
    state.fields.last_version = 1
    begin(state, 2)
    assert state.probation
    for error in np.linspace(1, 2, 5):
        state.probation.compare(float(error), 1.0)
    trial = describe_state(state.head())["probation"]
    assert (2, 1, 5, False) == tuple(trial[name] for name in ("version", "former", "readings", "to_roll_back"))
    assert state.probation.standard_errors == trial["standard_errors"]


def test_a_state_of_another_format_is_refused() -> None:
    """With the sentence that a worker has."""
    with pytest.raises(StateError, match="state format 254"):
        describe_state(b"\xfe" + a_state().head()[1:])
