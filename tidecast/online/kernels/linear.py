"""The compiled forecasts of the last value and the linear experts, which read the stacked models in place."""

from typing import NamedTuple

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.online.kernels.decorators import compiled, part
from tidecast.online.kernels.rows import Rows

LARGEST = float(np.finfo(np.float64).max)


class StackedExperts(NamedTuple):
    """The linear experts of many models, a row for each model; `models/experts.py` explains the fields.

    Attributes:
        lags: `(models, terms)`.
        columns: `(models, terms)`.
        coefficients: `(models, experts, terms)`.
        bias: `(models, experts)`.
        needs: `(models, experts)`.
    """

    lags: Int64
    columns: Int64
    coefficients: Float
    bias: Float
    needs: Int64


@compiled
def linear_forecast(rows: Rows, models: Int64, experts: StackedExperts, forecasts: Float) -> None:
    """Write the forecasts of the last value and the linear experts, reading the stacked experts in place.

    Args:
        rows: the newest rows of each series.
        models: `(n,)` the row of each series' model among the stacked experts.
        experts: the stacked experts.
        forecasts: `(n, 1 + experts or more)`, written; NaN where an expert cannot forecast.
    """
    terms = np.empty(experts.lags.shape[1])
    for i in range(len(models)):
        model = models[i]
        end = rows.ends[i]
        width = rows.widths[i]
        newest = rows.values[end - width]
        _write_terms(rows.values[:end], rows.held[i], width, experts.lags[model], experts.columns[model], terms)
        forecasts[i, 0] = newest
        for expert in range(experts.needs.shape[1]):
            forecasts[i, 1 + expert] = np.nan
            if 0 < experts.needs[model, expert] <= rows.held[i]:
                moves = 0.0
                for j in range(len(terms)):
                    moves += terms[j] * experts.coefficients[model, expert, j]
                forecasts[i, 1 + expert] = newest + (moves + experts.bias[model, expert])


@part
def _write_terms(rows: Float, held: int, width: int, lags: Int64, columns: Int64, terms: Float) -> None:
    """Write the terms of a model's linear experts; a term is 0 where its row is not held or its value not known."""
    at = len(rows) - width
    newest = rows[at]
    for j in range(len(terms)):
        terms[j] = 0.0
        if lags[j] < held:
            term = rows[at - lags[j] * width + columns[j]] - (newest if columns[j] == 0 else 0.0)
            terms[j] = 0.0 if np.isnan(term) else min(max(term, -LARGEST), LARGEST)
