"""Reader of a series' newest forecast over all steps, and of the weights of its experts."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from dashboard.data.connected import Connected
from tidecast.connection.partitions import newest_entries
from tidecast.errors import StateError, StreamError
from tidecast.models.experts import EXPERTS
from tidecast.models.step_scores import StepScore, step_scores
from tidecast.wire import Forecast, Step, steps_of

LEAST_WEIGHT = 0.005  # smaller weights are not shown
SCANNED = 5_000  # newest forecasts of a partition, which are read for the scores by step
SCORED = 300  # of them at most, of one series


@dataclass(frozen=True, slots=True)
class Outlook:
    """The newest forecast of a series.

    Attributes:
        steps: one for each step of `series.horizon`.
        weights: by expert, the largest first; empty if no state is stored.
        guarded: whether the blend is watched after a shock, when the last value may answer in its place.
    """

    steps: tuple[Step, ...]
    weights: dict[str, float]
    guarded: bool


class OutlookReader(Connected):
    """A reader of the newest forecasts and the stored states."""

    def read(self, series: str, entry_id: str) -> Outlook:
        """Return a series' outlook; `entry_id` is that of its newest forecast.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        keys = self._keys_of(series)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._redis.xrange(keys.forecasts, entry_id, entry_id))
        head = cast("bytes | None", self._redis.hget(keys.state, series))
        try:
            steps = steps_of(Forecast.decode(*entries[0])) if entries else ()
        except StreamError:
            steps = ()
        return Outlook(steps, *weights_of(head))

    def scores(self, series: str) -> list[StepScore]:
        """Return the scores of a series' newest forecasts by step; they lack the MASE.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        raw = series.encode()
        newest: list[Forecast] = []
        for entry_id, fields in newest_entries(self._redis, self._keys_of(series).forecasts, SCANNED):
            if fields.get(b"series") != raw:
                continue
            try:
                newest.append(Forecast.decode(entry_id, fields))
            except StreamError:
                continue
            if len(newest) > SCORED:
                break
        made = newest[::-1]
        return step_scores(made[:-1], np.array([forecast.y for forecast in made[1:]]))


def weights_of(head: bytes | None) -> tuple[dict[str, float], bool]:
    """Return the weights of the experts in the pending forecast, and whether the blend is watched after a shock."""
    from tidecast.online.kernels.blend import blend  # imported late: they take half a second
    from tidecast.online.series.state import SeriesState

    if head is None:
        return {}, False
    try:
        state = SeriesState.decode(head)
    except StateError:
        return {}, False
    weights = np.empty(len(EXPERTS))
    with np.errstate(all="ignore"):
        blend(state.errors, state.fields.evidence, state.answers, weights)
    order = np.argsort(-weights, kind="stable")
    shown = {EXPERTS[i]: float(weights[i]) for i in order if weights[i] >= LEAST_WEIGHT}
    return shown, bool(state.fields.guard.alert > 0)
