"""The forecasts of linear experts on readings that they were not fitted to, by cross-validation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models.experts import LINEAR, LinearExperts
from tidecast.models.time_grid import Grid
from trainer.fit.linear import NO_KNOWN, KnownTerms, fit_panel

BLOCKS = 5


def cross_validate(grid: Grid, seasons: Sequence[int], rows: Int64, known: KnownTerms = NO_KNOWN) -> Float:
    """Return the linear experts' forecasts of rows by panels that are fitted to all others, a block of rows at a time.

    Later rows help to fit as well as earlier ones (Bergmeir et al. 2018), so the errors are those of a panel with
    nearly as many rows as the final one.

    Args:
        grid: as for `fit_panel`.
        seasons: as for `fit_panel`.
        rows: `(n,)` rows of the grid above 0, in their order.
        known: as for `fit_panel`.

    Returns:
        `(n, linear experts)`, NaN where an expert cannot forecast.
    """
    answers = np.full((len(rows), len(LINEAR)), np.nan)
    for block in np.array_split(np.arange(len(rows)), BLOCKS):
        others = replace(grid, left_out=np.concatenate([grid.left_out, rows[block]]))
        answers[block] = _forecasts(fit_panel(others, seasons, len(grid), known), grid, rows[block])
    return answers


def _forecasts(panel: LinearExperts, grid: Grid, rows: Int64) -> Float:
    """Return a panel's forecasts of rows, `(rows, linear experts)`, NaN across a gap or before the first row."""
    newest = rows - 1
    at = newest[:, None] - panel.lags
    is_known = (at >= 0) & (grid.segment[np.maximum(at, 0)] == grid.segment[newest][:, None])
    last = grid.values[newest, :1]
    terms = grid.values[np.maximum(at, 0), panel.columns] - np.where(panel.columns == 0, last, 0.0)
    answers = last + np.where(is_known, terms, 0.0) @ panel.coefficients.T + panel.bias
    lacks = (~is_known[:, None] & (panel.coefficients != 0)).any(axis=2)
    return np.where(lacks | (panel.needs == 0), np.nan, answers)
