"""The compiled forecasts of the last value and the linear experts, which read the stacked models in place."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from tidecast.arrays import Float, Int16, Int64
from tidecast.models.experts import LINEAR, LinearExperts
from tidecast.online.kernels.decorators import compiled, part
from tidecast.online.kernels.rows import Rows

LARGEST = float(np.finfo(np.float64).max)


class StackedExperts(NamedTuple):
    """The linear experts of many models, a row for each model; `models/experts.py` explains the fields.

    Attributes:
        numbers: `(experts,)` the place of each among all linear experts; the others have no forecast.
        lags: `(models, terms)`.
        columns: `(models, terms)`.
        coefficients: `(models, experts, terms)`.
        bias: `(models, experts)`.
        needs: `(models, experts)`.
    """

    numbers: Int64
    lags: Int16
    columns: Int16
    coefficients: Float
    bias: Float
    needs: Int16

    @classmethod
    def of(cls, panels: Sequence[LinearExperts]) -> Self:
        """Stack all linear experts of panels with as many terms."""
        parts = {name: np.stack([getattr(panel, name) for panel in panels]) for name in cls._fields[1:]}
        short = {name: parts[name].astype(np.int16) for name in ("lags", "columns", "needs")}
        return cls(np.arange(len(LINEAR)), **(parts | short))


@compiled
def linear_forecast(rows: Rows, models: Int64, experts: StackedExperts, forecasts: Float) -> None:
    """Write the forecasts of the last value and the linear experts, reading the stacked experts in place.

    Args:
        rows: the newest rows of each series.
        models: `(n,)` the row of each series' model among the stacked experts.
        experts: the stacked experts.
        forecasts: `(n, 1 + all linear experts)`, NaN; written where an expert can forecast.
    """
    terms = np.empty(experts.lags.shape[1])
    for i in range(len(models)):
        model = models[i]
        end = rows.ends[i]
        width = rows.widths[i]
        newest = rows.values[end - width]
        _write_terms(rows.values[:end], rows.held[i], width, experts.lags[model], experts.columns[model], terms)
        forecasts[i, 0] = newest
        for expert in range(len(experts.numbers)):
            if 0 < experts.needs[model, expert] <= rows.held[i]:
                moves = 0.0
                for j in range(len(terms)):
                    moves += terms[j] * experts.coefficients[model, expert, j]
                forecasts[i, 1 + experts.numbers[expert]] = newest + (moves + experts.bias[model, expert])


@part
def _write_terms(rows: Float, held: int, width: int, lags: Int16, columns: Int16, terms: Float) -> None:
    """Write the terms of a model's linear experts; a term is 0 where its row is not held or its value not known."""
    at = len(rows) - width
    newest = rows[at]
    for j in range(len(terms)):
        terms[j] = 0.0
        if lags[j] < held:
            term = rows[at - lags[j] * width + columns[j]] - (newest if columns[j] == 0 else 0.0)
            terms[j] = 0.0 if np.isnan(term) else min(max(term, -LARGEST), LARGEST)
