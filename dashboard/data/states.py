"""The states of series on the pages, the worst first."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.data.recent import Recent
from dashboard.data.signs import Signs

PROBLEMS = ("anomalous", "stuck", "silent", "degraded", "dead letters", "drifting")
STATES = (*PROBLEMS, "retraining", "ok", "no model", "awaiting data")
DEAD, DRIFTING, RETRAINING, OK, NO_MODEL, AWAITING = (STATES.index(name) for name in STATES[4:])
DEAD_SHOWN_MS: Final = 600_000  # how long a dead letter counts as a problem of its series

States = NDArray[np.int64]  # (series,) places in STATES


def states_of(recent: Recent, signs: Signs, retraining: Iterable[str], now_ms: float, *, running: bool) -> States:
    """Return the state of every series with a forecast.

    Args:
        recent: the forecasts.
        signs: everything else that is known of series.
        retraining: the series that a button is retraining.
        now_ms: the time.
        running: whether a scheduled run is under way, which retrains drifting series first.
    """
    size = len(recent)
    states = np.where(recent.model[:size] > 0, OK, NO_MODEL)

    def put(names: Iterable[str], state: int) -> None:
        places = [i for name in names if (i := recent.index.get(name)) is not None]
        states[places] = state

    put(signs.drifting, RETRAINING if running else DRIFTING)
    put(retraining, RETRAINING)
    put((name for name, at in signs.dead_ms.items() if now_ms - at < DEAD_SHOWN_MS), DEAD)
    for name, condition in signs.conditions.items():
        if (i := recent.index.get(name)) is not None:
            states[i] = STATES.index(condition)
    return states


def ranks_of(states: States, muted: NDArray[np.bool_]) -> States:
    """Return the order of states, the worst first: problems, then problems of muted series, then the rest."""
    most = len(PROBLEMS)
    return np.where(muted | (states >= most), states + most, states)
