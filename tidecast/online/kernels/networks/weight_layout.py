"""The memory layout of a network's weights, in the order in which the kernel reads them."""

import numpy as np

from tidecast.arrays import Float32, Int64
from tidecast.models import lstm
from tidecast.models.spec import Spec
from tidecast.online.kernels.networks.forward import NetworkShape
from tidecast.online.kernels.networks.products import CACHE_LINE, VECTOR


class WeightLayout:
    """The place of each weight of a network in its row of a slab: padded to whole vectors, the gates' weights halved.

    A sigmoid is computed from the tanh of half the input: with halved weights, one loop computes tanh for all gates.
    """

    def __init__(self, spec: Spec) -> None:
        self._places: dict[str, tuple[int, int, int, int]] = {}  # offset, rows, columns, padded columns
        self._shares = np.ones(4 * spec.units, np.float32)  # factor of each gate's weights
        for gate in (lstm.INPUT, lstm.FORGET, lstm.OUTPUT):
            self._shares[gate * spec.units : (gate + 1) * spec.units] = 0.5
        size = 0
        for name, shape in spec.shapes().items():
            rows, columns = (1, *shape)[-2:]
            if name == "dense.kernel":  # one column: read as a row
                rows, columns = columns, rows
            padded = whole(columns, VECTOR)
            self._places[name] = (size, rows, columns, padded)
            size += rows * padded
        self.size = size
        self.shape = NetworkShape(
            units=spec.units,
            layers=spec.layers,
            directions=len(spec.directions),
            relu=int(spec.activation == "relu"),
            hidden=spec.hidden,
            gate_columns=whole(4 * spec.units, VECTOR),
            hidden_columns=whole(spec.hidden, VECTOR),
            padded_units=whole(spec.units, VECTOR // 2),
        )
        self.offsets: Int64 = np.array([place[0] for place in self._places.values()], np.int64)

    def slab(self, models: int) -> Float32:
        """Allocate rows for so many models, `(models, size)`, on whole cache lines; unwritten rows take no memory."""
        room = np.zeros(models * self.size + VECTOR, np.float32)
        first = -room.ctypes.data % CACHE_LINE // room.itemsize
        return room[first : first + models * self.size].reshape(models, self.size)

    def write(self, slab: Float32, weights: lstm.Weights) -> None:
        """Write the weights of networks, `(n, *shape)` each, into rows of a slab, `(n, size)`."""
        for name, (offset, rows, columns, padded) in self._places.items():
            place = slab[:, offset : offset + rows * padded].reshape(-1, rows, padded)
            if padded != columns:
                place = place[:, :, :columns]
            numbers = weights[name].reshape(-1, rows, columns)
            if name.startswith("lstm."):
                np.multiply(numbers, self._shares, out=place)
            else:
                place[:] = numbers


def whole(count: int, unit: int) -> int:
    """Round a count up to a multiple of a unit."""
    return -(-count // unit) * unit
