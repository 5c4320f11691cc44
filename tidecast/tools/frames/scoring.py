"""Score the forecasts of a frame."""

from collections.abc import Sequence
from math import erf, pi, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tidecast.arrays import Float
from tidecast.errors import HistoryError, SettingsError
from tidecast.models.metrics import skill
from tidecast.suggestions import did_you_mean, listed
from tidecast.tools.frames.building import ToPandas, import_pandas
from tidecast.tools.own_packages import own_packages

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("y", "yhat")
GROUPS = ("unique_id", "step")
MEASURES = (
    "rows",
    "mae",
    "rmse",
    "mase",
    "rmsse",
    "pinball",
    "crps",
    "coverage",
    "width",
    "skill",
)


@own_packages()
def scores(frame: "pd.DataFrame | ToPandas", by: str | Sequence[str] = "overall", level: float = 0.9) -> "pd.DataFrame":
    """Score forecasts.

    Args:
        frame: as `backtest` and `read_forecasts` return it, in pandas, polars or Arrow. A measure is NaN without the
            columns that it needs.
        by: `unique_id`: a row for each series; `step`: for each number of steps after the cutoff; both: for each
            series and step; `overall`: one row. A row of several series has the mean over them.
        level: the probability that the intervals aim at.

    Returns:
        The columns of `by`, and

        - `rows`: the number of forecasts with a reading;
        - `mae`, `rmse`: in the series' own unit;
        - `mase`, `rmsse`: the same over mean and root mean square of the changes in the readings trained on
          (Hyndman & Koehler 2006);
        - `pinball`: the mean pinball loss of the lower end, the forecast and the upper end;
        - `crps`: the continuous ranked probability score of a normal distribution with this mean and this interval
          (Gneiting & Raftery 2007);
        - `coverage`: the share of readings inside their interval, and `width`, its mean width in the series' unit;
        - `skill`: 1 - MAE / MAE of the last value at the cutoff.

    Raises:
        HistoryError: the frame lacks a column, or is not a frame.
        SettingsError: `by` or `level` is invalid.
    """
    pandas = import_pandas()
    groups = _groups(by)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise SettingsError(f"level is {level!r}: give a probability between 0 and 1")
    from trainer.data.foreign_frames import pandas_frame

    rows = _rows(pandas.DataFrame(pandas_frame(frame)))
    inner = [*dict.fromkeys(("unique_id", *groups))]
    each = [{**dict(zip(inner, names, strict=True)), **_scores(part, level)} for names, part in rows.groupby(inner)]
    scored: pd.DataFrame = pandas.DataFrame(each, columns=[*inner, *MEASURES])
    if "unique_id" in groups:
        return scored
    total: pd.DataFrame
    if groups:
        total = scored.groupby("step", as_index=False)[list(MEASURES)].mean()
        total["rows"] = scored.groupby("step")["rows"].sum().to_numpy()
        return total
    total = scored[list(MEASURES)].mean().to_frame().T
    total["rows"] = scored["rows"].sum()
    return total


def _groups(by: str | Sequence[str]) -> list[str]:
    names = list(by) if isinstance(by, Sequence) and not isinstance(by, str) else [by]
    if names == ["overall"]:
        return []
    for name in names:
        if name not in GROUPS:
            raise SettingsError(f"by is {name!r}: {did_you_mean(str(name), (*GROUPS, 'overall'))}")
    return [name for name in GROUPS if name in names]


def _rows(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the forecasts that have a reading, each with the number of its step."""
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise HistoryError(f"the frame has no column {missing[0]!r} among {listed(map(str, frame.columns))}: add it")
    rows = frame.copy(deep=False)
    if "unique_id" not in rows:
        rows["unique_id"] = ""
    rows["step"] = 1
    if "cutoff" in rows:
        rows["step"] = rows.groupby(["unique_id", "cutoff"])["ds"].rank(method="first").astype(int)
    return rows.dropna(subset=list(NEEDED))


def _scores(part: "pd.DataFrame", level: float) -> dict[str, float]:
    y = _column(part, "y")
    yhat = _column(part, "yhat")
    lower = _column(part, "yhat_lower")
    upper = _column(part, "yhat_upper")
    error = np.abs(y - yhat)
    mae = float(error.mean())
    naive = float(np.abs(y - _column(part, "last_value")).mean())
    inside = np.where(np.isnan(lower + upper), np.nan, (lower <= y) & (y <= upper))
    tail = (1 - level) / 2
    pinballs = [_pinball(y, lower, tail), _pinball(y, yhat, 0.5), _pinball(y, upper, 1 - tail)]
    return {
        "rows": len(part),
        "mae": mae,
        "rmse": float(np.sqrt((error**2).mean())),
        "mase": _mean(_over(error, _column(part, "mean_change"))),
        "rmsse": float(np.sqrt(_mean(_over(error, _column(part, "rms_change")) ** 2))),
        "pinball": _mean(np.mean(pinballs, axis=0)),
        "crps": _mean(_crps(error, upper - lower, level)),
        "coverage": _mean(inside),
        "width": _mean(upper - lower),
        "skill": float("nan") if np.isnan(naive) else skill(mae, naive),
    }


def _column(part: "pd.DataFrame", name: str) -> Float:
    """Return a column of numbers; NaN if it does not exist."""
    if name not in part:
        return np.full(len(part), np.nan)
    column: Float = part[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return column


def _mean(values: Float) -> float:
    """Return the mean of the known values; NaN without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _over(error: Float, scale: Float) -> Float:
    ratio: Float = np.divide(error, scale, out=np.full(len(error), np.nan), where=scale > 0)
    return ratio


def _pinball(y: Float, quantile: Float, probability: float) -> Float:
    below: Float = y - quantile
    loss: Float = np.maximum(probability * below, (probability - 1) * below)
    return loss


def _crps(error: Float, width: Float, level: float) -> Float:
    """Return the score of a normal distribution whose central interval of that level has this width."""
    deviation = width / (2 * NormalDist().inv_cdf((1 + level) / 2))
    z = np.divide(error, deviation, out=np.zeros(len(error)), where=deviation > 0)
    inner = z * np.array([erf(each / sqrt(2)) for each in z]) + np.sqrt(2 / pi) * np.exp(-(z**2) / 2) - 1 / sqrt(pi)
    score: Float = np.where(deviation == 0, error, deviation * inner)
    return score
