"""Share the work of the kernel among threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tidecast.models.time_grid import Float
from tidecast.online.kernels import forward
from tidecast.online.kernels.forward import Float32, Int64
from tidecast.online.weight_layout import Layout

SHARE = 8_000_000  # products in a piece: about a quarter of a millisecond
WORTH = 8  # pieces that are worth another thread: of fewer it saves less than it costs where the cores are in use
Panels = tuple[Int64, Int64, Float, Float, Int64]  # lags, columns, coefficients, bias, needs of `kernel.weigh`
PIECES = 4  # for each thread: one that is held up leaves the rest to the others


class Threads:
    """The calling thread and those that help it.

    They are not numba's: of its threading layers one may not be entered by two threads at once, another does not
    survive a fork.
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        # It starts them when they are first needed.
        self._others = ThreadPoolExecutor(count - 1, "kernel") if count > 1 else None

    def answers(self, x: Float32, slab: Float32, rows: Int64, layout: Layout) -> Float32:
        """What networks say to windows, x of `(n, window, channels)`: `(n,)`, each by that in its row of the slab."""
        x = np.ascontiguousarray(x)  # another layout would be compiled for while the batch waits
        found = np.empty(len(rows), np.float32)
        order = np.argsort(rows, kind="stable")
        piece = max(1, SHARE // (x.shape[1] * layout.size))
        some = max(piece, -(-len(order) // (PIECES * self._count)))
        pieces = iter([order[first : first + some] for first in range(0, len(order), some)])

        def work() -> None:
            for piece in pieces:  # whoever is free takes the next
                forward.answer(x, piece, slab, rows, layout.shape, layout.offsets, found)

        helped = []
        if self._others and len(order) > WORTH * piece:
            helped = [self._others.submit(work) for _ in range(min(self._count - 1, -(-len(order) // some) - 1))]
        work()
        for other in helped:
            if not other.cancel():  # one that has not begun by now has nothing left to do
                other.result()
        return found


def linear_answers(values: Float, ends: Int64, held: Int64, rows: Int64, panels: Panels) -> Float:
    """What the last value and the linear experts answer, `(n, 1 + experts)`; see `kernel.weigh`."""
    found = np.empty((len(rows), 1 + panels[-1].shape[1]))
    forward.weigh(np.ascontiguousarray(values), ends, held, rows, *panels, found)
    return found
