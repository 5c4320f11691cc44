"""The kernel's work, shared by threads of our own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tidecast.spec import Spec
from tidecast.windows import Float
from worker import kernel, packing, prepared, scoring, window
from worker.compiling import load_or_compile
from worker.kernel import Float32, Int64
from worker.layout import Layout

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
                kernel.answer(x, piece, slab, rows, layout.shape, layout.offsets, found)

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
    kernel.weigh(np.ascontiguousarray(values), ends, held, rows, *panels, found)
    return found


def _answer_network() -> None:
    spec = Spec(window=2, units=1, layers=2, hidden=1)
    layout = Layout(spec)
    Threads().answers(np.zeros((1, 2, 1), np.float32), layout.slab(1), np.zeros(1, np.int64), layout)


def _answer_linear() -> None:
    at, whole_numbers, numbers = np.zeros(1, np.int64), np.zeros((1, 1), np.int64), np.zeros((1, 1))
    panels = (whole_numbers, whole_numbers, np.zeros((1, 1, 1)), numbers, whole_numbers)
    linear_answers(numbers, at + 1, at + 1, at, panels)


# Two shares that take about as long as each other: the helper must start first.
OWN = (_answer_network, _answer_linear, scoring.warm, scoring.warm_trackers)
OF_HELPER = (window.warm, packing.warm, prepared.warm)


def _ignore() -> None:
    """Do nothing."""


def warm(on_cold: Callable[[], None] = _ignore) -> None:
    """Load everything that answers readings, or compile it: a worker does so before it takes a lease.

    Args:
        on_cold: called first if something must be compiled, which takes some seconds, once on a machine.
    """
    load_or_compile(OWN, OF_HELPER, on_cold)
