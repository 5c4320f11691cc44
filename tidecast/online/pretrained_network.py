"""The pretrained network in the compiled kernel."""

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.pretrained.inputs import UNCHANGED, lags
from tidecast.models.pretrained.network import shipped, spec_of
from tidecast.models.pretrained.shape import LEAST_ROWS
from tidecast.online.kernels.networks.inputs import prepare_pretrained
from tidecast.online.kernels.networks.threads import Threads
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.online.kernels.rows import Rows

ROWS_AT_ONCE = 1024  # windows prepared at once: bounds the memory to some megabytes


class PretrainedNetwork:
    """The network of the package, which forecasts series that it was not trained on.

    Args:
        threads: compute the forecasts.
    """

    def __init__(self, threads: Threads) -> None:
        weights = shipped().weights
        self._threads = threads
        self._layout = WeightLayout(spec_of(weights, "value"))
        self._slab = self._layout.slab(1)
        self._layout.write(self._slab, {name: w[None] for name, w in weights.items()})

    def forecast(self, rows: Rows, seasons: Int64) -> Float:
        """Return the forecasts of the next value, `(n,)`; NaN where too few rows are held.

        Args:
            rows: the newest rows of each series.
            seasons: `(n, 2)` in rows; 0: not known.
        """
        forecasts = np.full(len(seasons), np.nan)
        enough = np.flatnonzero(rows.held >= LEAST_ROWS)
        for first in range(0, len(enough), ROWS_AT_ONCE):
            part = enough[first : first + ROWS_AT_ONCE]
            prepared = prepare_pretrained(rows.chosen(part), lags(seasons[part], rows.held[part]))
            answers = self._threads.answers(prepared.x, self._slab, np.zeros(len(part), np.int64), self._layout)
            moves = prepared.size > UNCHANGED
            forecasts[part] = np.where(moves, prepared.restore(answers), prepared.base)
        forecasts[~np.isfinite(forecasts)] = np.nan
        return forecasts
