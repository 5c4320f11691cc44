"""Share the work of the kernel among threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.models.experts import LSTM
from tidecast.online.kernels import linear
from tidecast.online.kernels.networks import forward
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.online.kernels.rows import Rows

SHARE = 8_000_000  # products in a piece: about a quarter of a millisecond
WORTH = 8  # pieces that are worth another thread: with fewer it costs more than it saves on busy cores
PIECES = 16  # for each thread: if one is delayed, the others take its pieces


class Threads:
    """The calling thread and its helpers.

    Numba's own threads are not used: one of its threading layers cannot be entered by two threads at once, another does
    not survive a fork.
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        # The pool starts its threads when they are first needed.
        self._others = ThreadPoolExecutor(count - 1, "kernel") if count > 1 else None

    def answers(self, x: Float32, slab: Float32, rows: Int64, layout: WeightLayout) -> Float32:
        """Return the networks' answers, `(n,)`, to windows x, `(n, window, channels)`; `rows`: each one's slab row."""
        x = np.ascontiguousarray(x)  # another memory layout would be compiled first, while the batch waits
        results = np.empty(len(rows), np.float32)
        order = np.argsort(rows, kind="stable")
        piece = max(1, SHARE // (x.shape[1] * layout.size))
        some = max(piece, -(-len(order) // (PIECES * self._count)))
        some += -some % forward.LANES
        pieces = iter([order[first : first + some] for first in range(0, len(order), some)])

        def work() -> None:
            for piece in pieces:  # the next free thread takes the next piece
                forward.run_networks(x, piece, slab, rows, layout.shape, layout.offsets, results)

        helped = []
        if self._others and len(order) > WORTH * piece:
            helped = [self._others.submit(work) for _ in range(min(self._count - 1, -(-len(order) // some) - 1))]
        work()
        for other in helped:
            if not other.cancel():  # a helper that has not begun by now has nothing left to do
                other.result()
        return results


def linear_answers(rows: Rows, models: Int64, experts: linear.StackedExperts) -> Float:
    """Return the forecasts of the last value and all linear experts, `(n, LSTM)`; NaN where one cannot forecast."""
    forecasts = np.full((len(models), LSTM), np.nan)
    linear.linear_forecast(rows, models, experts, forecasts)
    return forecasts
