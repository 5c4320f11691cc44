"""The stacked inference kernel: the models of many series in one call.

All models of one spec lie in one slab of stacked arrays; a batch gathers the rows it needs and runs the LSTM of
`tidecast/lstm.py` over all of them at once. A forecast's value does not depend on what else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidecast import lstm, windows
from tidecast.model import Header, Model, Spec

ROWS_AT_ONCE = 256  # bounds the gathered weights to some tens of megabytes


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a series' champion sits in the engine, and what the forecaster must know of it."""

    spec: Spec
    row: int
    version: int
    step_ms: float
    half_width: float


class Engine:
    """Champions by series, stacked by spec."""

    def __init__(self) -> None:
        self._slabs: dict[Spec, Slab] = {}
        self._seats: dict[str, Seat] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def seat(self, series: str) -> Seat | None:
        """Where the series' champion sits, None if it has none."""
        return self._seats.get(series)

    def put(self, series: str, version: int, model: Model) -> None:
        """Let this model answer for the series from the next call on."""
        old = self._seats.get(series)
        slab = self._slabs.setdefault(model.spec, Slab(model.spec))
        row = old.row if old and old.spec == model.spec else None
        if old and row is None:
            self._slabs[old.spec].release(old.row)
        row = slab.put(model, row)
        self._seats[series] = Seat(model.spec, row, version, model.header.step_ms, model.header.half_width)

    def drop(self, series: str) -> None:
        """Forget the series' champion."""
        seat = self._seats.pop(series, None)
        if seat:
            self._slabs[seat.spec].release(seat.row)

    def forecast(self, seats: Sequence[Seat], rows: Sequence[windows.Float]) -> windows.Float:
        """Forecast the next value for each pair of a seat and a window.

        Args:
            seats: which model answers; the same seat may occur many times.
            rows: `(window, features)` each, in the series' unit.

        Returns:
            `(len(seats),)` in the series' unit.
        """
        answers = np.empty(len(seats))
        by_spec: dict[Spec, list[int]] = {}
        for i, seat in enumerate(seats):
            by_spec.setdefault(seat.spec, []).append(i)
        for spec, wanted in by_spec.items():
            for start in range(0, len(wanted), ROWS_AT_ONCE):
                part = wanted[start : start + ROWS_AT_ONCE]
                chosen = np.array([seats[i].row for i in part])
                answers[part] = self._slabs[spec].forecast(chosen, np.stack([rows[i] for i in part]))
        return answers


class Slab:
    """The stacked weights of all models of one spec; rows are reused."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._weights: dict[str, lstm.Array] = {
            name: np.zeros((0, *shape), np.float32) for name, shape in spec.shapes().items()
        }
        self._center = np.zeros((0, len(spec.features)))
        self._scale = np.ones((0, len(spec.features)))
        self._free: list[int] = []

    def put(self, model: Model, row: int | None = None) -> int:
        """Write a model into `row`, or into a free one; returns the row."""
        if row is None:
            if not self._free:
                self._grow()
            row = self._free.pop()
        for name, stacked in self._weights.items():
            stacked[row] = model.weights[name]
        self._write_scaler(row, model.header)
        return row

    def release(self, row: int) -> None:
        """Let another model have the row."""
        self._free.append(row)

    def forecast(self, chosen: np.ndarray[tuple[int], np.dtype[np.int64]], rows: windows.Float) -> windows.Float:
        """Forecast `(n, window, features)` with the models in the rows `chosen`, `(n,)`; returns `(n,)`."""
        form = self.spec.form
        center, scale = self._center[chosen], self._scale[chosen]
        x = windows.scale_windows(rows, center, scale, form).astype(np.float32)
        weights = {name: stacked[chosen] for name, stacked in self._weights.items()}
        answer = lstm.forward(x, weights, self.spec.activation)[:, 0].astype(np.float64)
        return windows.restore(answer, rows[:, -1, 0], center[:, 0], scale[:, 0], form)

    def _write_scaler(self, row: int, header: Header) -> None:
        self._center[row], self._scale[row] = header.center, header.scale

    def _grow(self) -> None:
        old = len(self._center)
        more = max(8, old // 2)
        self._free += range(old + more - 1, old - 1, -1)
        self._center = np.concatenate([self._center, np.zeros((more, self._center.shape[1]))])
        self._scale = np.concatenate([self._scale, np.ones((more, self._scale.shape[1]))])
        for name, stacked in self._weights.items():
            self._weights[name] = np.concatenate([stacked, np.zeros((more, *stacked.shape[1:]), np.float32)])
