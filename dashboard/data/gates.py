"""The gate values of a series' network over its newest window, computed on demand."""

from dataclasses import dataclass

import numpy as np

from dashboard.data.state_reader import WindowReader
from tidecast.arrays import Float
from tidecast.errors import TidecastError
from tidecast.models.inputs import Inputs
from tidecast.models.lstm_trace import CellTrace, follow
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import Settings

MODELS_KEPT = 16  # models kept in memory
NO_MODEL = "No model answers yet, so there is no network whose gates could be shown."
NO_NETWORK = "Version {} has no network: its linear experts answer alone, and they have no gates."
NO_WINDOW = "No worker has stored a window of this series yet."
SHORT = "The network reads {} readings in a row; the series has {} so far."
LACKS = "Version {} reads {}, which the window does not hold before its first reading with that version."


@dataclass(frozen=True, slots=True)
class TracedGates:
    """The first cell of the champion's network, traced over the newest window.

    Attributes:
        version: the champion.
        shared: whether the network is that of its cohort.
        spec: the network's shape.
        values: `(window,)`, the target in the series' unit, oldest first.
        last_ts: of the newest value, epoch milliseconds.
        cell: the cell's trace over the values.
    """

    version: int
    shared: bool
    spec: Spec
    values: Float
    last_ts: int
    cell: CellTrace


class GateReader(WindowReader):
    """A reader of windows from Redis and models from the store."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._store = ModelStore(settings.store)
        self._models: dict[tuple[str, int], Model] = {}

    def read(self, series: str) -> TracedGates | str:
        """Return a series' gates, or a sentence with the reason why they are not available.

        Raises:
            RedisError: Redis is not available, or refuses.
        """
        try:
            return self._gates(series)
        except TidecastError as exc:
            return str(exc)

    def _gates(self, series: str) -> TracedGates | str:
        version = self._store.champion(series)
        if version is None:
            return NO_MODEL
        model = self._model(series, version)
        network = model if model.header.network else self._store.cohort_network(model.header.shared)
        if network is None:
            return NO_NETWORK.format(version)
        window = self.window(series)
        if window is None:
            return NO_WINDOW
        reads = model.spec.features if network is model else model.spec.features[:1]
        if lacking := [name for name in reads if name not in window.features]:
            return LACKS.format(version, lacking[0])
        rows = window.rows[:, [window.features.index(name) for name in reads]]
        if len(rows) < network.spec.window:
            return SHORT.format(network.spec.window, len(rows))
        cell = next(follow(network, _inputs(model, network, rows, window.last_ts)))
        values = rows[-network.spec.window :, 0]
        return TracedGates(version, network is not model, network.spec, values, window.last_ts, cell)

    def _model(self, series: str, version: int) -> Model:
        key = (series, version)
        if key not in self._models:
            if len(self._models) >= MODELS_KEPT:
                self._models.clear()
            self._models[key] = self._store.load(series, version)[1]
        return self._models[key]


def _inputs(model: Model, network: Model, rows: Float, last_ts: int) -> Inputs:
    """Prepare the newest rows as the worker does; missing older rows are padded with zeros."""
    from tidecast.online.offline import Preparation  # imported late: it takes a second

    reach = model.rows_with(None if network is model else network)
    held = np.array([min(len(rows), reach)])
    padded = np.concatenate([np.zeros((reach - held[0], rows.shape[1])), rows[-held[0] :]])[None]
    header = model.header
    next_ts = np.array([last_ts + round(header.step_ms)])
    if network is model:
        return Preparation.of(model).inputs(padded, held, next_ts)
    return Preparation.of_member(network, header.seasons, header.change_scale).inputs(padded, held, next_ts)
