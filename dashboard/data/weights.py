"""The weights of a series' experts over its newest readings, computed again from the stored window."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dashboard.data.state_reader import StoredWindow, WindowReader
from tidecast.arrays import Float
from tidecast.errors import TidecastError
from tidecast.models.experts import EXPERTS
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.moments import wire_text
from tidecast.online.own_experts import OwnCall, OwnFailure
from tidecast.settings import Settings

MOST_SHOWN = 240  # readings; those before them in the window let the records of the experts settle


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights after each of a series' newest readings.

    Attributes:
        ts: `(readings,)`, epoch milliseconds.
        weights: `(readings, experts)`.
    """

    ts: Float
    weights: Float

    def with_newest(self, ts: float, newest: dict[str, float]) -> "Weights":
        """Return the weights, with those after the newest reading as the worker has stored them, by expert."""
        row = np.array([newest.get(name, 0.0) for name in EXPERTS])
        earlier = self.ts < ts
        times = np.append(self.ts[earlier], ts)[-MOST_SHOWN:]
        return Weights(times, np.vstack([self.weights[earlier], row])[-MOST_SHOWN:])


class WeightReader(WindowReader):
    """A reader of windows from Redis, which lets the worker's code answer them again."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._store = ModelStore(settings.store)

    def read(self, series: str) -> Weights | None:
        """Return the weights over the newest readings; None if they cannot be computed.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        from tidecast.code_cache import NotKeptError, only_loading  # imported late: it takes a second

        try:
            window = self.window(series)
            if window is None or window.step_ms <= 0 or not len(window.rows):
                return None
            with only_loading():  # to compile would hold up all viewers
                return self._answered_again(series, window)
        except (TidecastError, NotKeptError):
            return None

    def _answered_again(self, series: str, window: StoredWindow) -> Weights:
        from tidecast.own_experts.apart import forecasts_apart

        version = self._store.champion(series)
        model = None if version is None else self._store.load(series, version)[1]
        own = _OwnForecasts()
        weights = self._replayed(series, window, (version or 0, model), own)
        if model and model.own and own.windows:
            call = OwnCall(series, version or 0, model.own, np.concatenate(own.windows))
            forecasts = forecasts_apart(self._settings.experts, call)
            if forecasts is not None:
                weights = self._replayed(series, window, (version or 0, model), _OwnForecasts(forecasts))
        return weights

    def _replayed(
        self, series: str, window: StoredWindow, champion: tuple[int, Model | None], own: "_OwnForecasts"
    ) -> Weights:
        """Answer the rows of a window as a worker would, with a version and its model, and these own forecasts."""
        from tidecast.online.engine import Engine
        from tidecast.online.forecaster import Forecaster
        from tidecast.online.kernels.blend import blend

        engine = Engine()
        version, model = champion
        if model:
            engine.put(series, version, model)
            if (network := self._store.cohort_network(model.header.shared)) and model.header.shared:
                engine.put_shared(model.header.shared, network)
        forecaster = Forecaster(self._settings.series, engine, own=own)
        names = [name.encode() for name in window.features]
        rows = window.rows.tolist()
        times = [round(window.last_ts - i * window.step_ms) for i in range(len(rows))][::-1]
        weights = np.zeros((len(rows), len(EXPERTS)))
        for i, (ts, row) in enumerate(zip(times, rows, strict=True)):
            values = {name: repr(value).encode() for name, value in zip(names, row, strict=True)}
            forecaster.handle([(f"{ts}-0", {b"series": series.encode(), b"ts": wire_text(ts).encode(), **values})], ts)
            state = forecaster.states[series]
            with np.errstate(all="ignore"):
                blend(state.errors, state.fields.evidence, state.answers, weights[i])
        return Weights(np.array(times, np.float64)[-MOST_SHOWN:], weights[-MOST_SHOWN:])


class _OwnForecasts:
    """The forecasts of one own expert; without any, it collects the windows for which they are needed.

    Args:
        forecasts: `(windows,)` in the order of the calls; None: they are not known yet.
    """

    def __init__(self, forecasts: Float | None = None) -> None:
        self.windows: list[Float] = []
        self._forecasts = forecasts
        self._answered = 0

    def forecast(self, calls: Sequence[OwnCall]) -> tuple[list[Float], list[OwnFailure]]:
        """Return the forecasts of each call, NaN while they are not known."""
        answers = []
        for call in calls:
            self.windows.append(call.windows)
            start = self._answered
            self._answered += len(call.windows)
            unknown = np.full(len(call.windows), np.nan)
            answers.append(unknown if self._forecasts is None else self._forecasts[start : self._answered])
        return answers, []
