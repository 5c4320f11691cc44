"""Describe the stored state of a series in words and figures for people."""

import math
from typing import Any

from tidecast.models.experts import EXPERTS
from tidecast.online.drift import KINDS
from tidecast.online.kernels.detection.drift_sums import ERRORS_MOST, JUMP_STAYS, LEVEL_MOST, LOSS_MOST, SEASON_MOST
from tidecast.online.series.condition import state_of
from tidecast.online.series.state import SeriesState

# The sums that raise an alarm and their thresholds, in the order of KINDS; a level has two.
_SUMS = (
    (("error_sum", ERRORS_MOST),),
    (("level_sum", LEVEL_MOST), ("stayed", JUMP_STAYS)),
    (("season_sum", SEASON_MOST),),
    (("lost_weight", LOSS_MOST),),
)


def describe_state(head: bytes) -> dict[str, Any]:
    """Return a state without its rows, ready for JSON.

    Returns:
        A dict with these keys.

        - `version`: the model that forecast last.
        - `last_ts`: the time of the last reading, epoch milliseconds.
        - `readings`: how many were answered, without those that are not believed.
        - `step_ms`, `condition` (one of `SERIES_STATES`), and `value`, the newest.
        - `unchanged`: readings since the value changed; `never_changed`; `unchanged_before`: the longest such run.
        - `changed_ts`: when the value changed.
        - `errors`: by expert, discounted, the worse of its records.
        - `drift`: by kind, as a share of the threshold: 1 is an alarm.
        - `no_alarm_for`: readings until another alarm is possible.
        - `guarded_for`: readings for which the blend is still guarded after a shock.
        - `probation`: None without a shadow test.

    Raises:
        StateError: the state is of another version, or cut short.
    """
    state = SeriesState.decode(head)
    drift = state.fields.drift
    watch = state.fields.watch
    trial = state.probation
    errors = dict(zip(EXPERTS, state.errors.max(axis=0).tolist(), strict=True))
    return {
        "version": state.last_version or None,
        "last_ts": int(state.window.last_ts),
        "readings": int(watch.seen),
        "step_ms": state.window.step,
        "condition": state_of(state),
        "value": float(watch.value) if math.isfinite(watch.value) else None,
        "unchanged": int(watch.run),
        "never_changed": bool(0 < watch.seen - 1 <= watch.run),
        "unchanged_before": int(watch.longest_run),
        "changed_ts": int(watch.changed_ts) if math.isfinite(watch.changed_ts) else None,
        "errors": {expert: error for expert, error in errors.items() if math.isfinite(error)},
        "drift": {
            kind: max(float(drift[name]) / most for name, most in sums) for kind, sums in zip(KINDS, _SUMS, strict=True)
        },
        "no_alarm_for": max(0, int(drift.quiet - drift.seen)),
        "guarded_for": int(state.fields.guard.alert),
        "probation": trial
        and {
            "version": trial.version,
            "former": trial.former,
            "readings": trial.readings,
            "standard_errors": trial.standard_errors,
            "to_roll_back": trial.to_roll_back,
        },
    }
