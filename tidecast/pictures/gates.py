"""The maps of an LSTM cell's gates and state: which there are, in which order, and what they show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidecast.models.lstm import Array
from tidecast.models.lstm_trace import CellTrace
from tidecast.models.spec import Spec
from tidecast.pictures.colours import CANDIDATE, FORECAST, FORGET, INPUT, OUTPUT, READING

STEPS_AXIS = "readings before the forecast"
ORDER = "Units are sorted by their cell state at the end of the window."
BELOW_ZERO = READING  # the colour of negative values


@dataclass(frozen=True, slots=True)
class GateMap:
    """One map: steps across, units down.

    Attributes:
        name: of the values in a cell.
        title: in a picture.
        meaning: the effect of high and low values.
        colour: of 1, or of the largest value.
        signed: values are from minus to plus `reach`, not from 0 to 1.
    """

    name: str
    title: str
    meaning: str
    colour: str
    signed: bool = False

    def values(self, cell: CellTrace) -> Array:
        """Return the values, `(steps, units)`, from the oldest reading to the newest, whichever way the cell reads."""
        values: Array = cell.cell_state if self.name == "cell_state" else getattr(cell.gates, self.name)
        in_time: Array = values[np.argsort(cell.rows)]
        return in_time

    def bounds(self, values: Array) -> tuple[float, float]:
        """Return the values at both ends of the colour scale; 0 is in the middle of a signed one."""
        if not self.signed:
            return 0.0, 1.0
        reach = float(np.abs(values).max()) or 1.0
        return -reach, reach


GATE_MAPS = (
    GateMap("forget", "Forget gate", "1 keeps the memory, 0 clears it", FORGET),
    GateMap("input", "Input gate", "1 writes the candidate, 0 ignores it", INPUT),
    GateMap("candidate", "Candidate", "the new value that may be written", CANDIDATE, signed=True),
    GateMap("output", "Output gate", "1 shows the memory, 0 hides it", OUTPUT),
    GateMap("cell_state", "Cell state", "the memory itself", FORECAST, signed=True),
)
GATES = tuple(shown for shown in GATE_MAPS if not shown.signed)


def sorted_units(cell: CellTrace, most: int | None = None) -> NDArray[np.int64]:
    """Return the units with the largest final cell states, sorted by cell state, so that similar ones are adjacent."""
    last = cell.cell_state[-1]
    largest = np.argsort(-np.abs(last))[:most]
    units: NDArray[np.int64] = largest[np.argsort(-last[largest])]
    return units


def network_text(spec: Spec) -> str:
    """Describe a network in a few words: `bidirectional LSTM, 2 layers of 50, window 24, tanh`."""
    layers = f"{spec.layers} layers of {spec.units}" if spec.layers > 1 else f"{spec.units} units"
    direction = "bidirectional " if spec.bidirectional else ""
    return f"{direction}LSTM, {layers}, window {spec.window}, {spec.activation}"
