"""Scores of the benchmark `accuracy`: errors and band of one series, and summaries over many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.yardsticks import Series
from tidecast.arrays import Float

TIDECAST = "tidecast"
LAST_VALUE = "last_value"
TITLES = {
    TIDECAST: "Tidecast",
    LAST_VALUE: "last value",
    "seasonal_naive": "seasonal naive",
    "autoets": "AutoETS",
    "autoarima": "AutoARIMA",
    "ar_ridge": "AR-ridge",
    "boosting": "boosting",
    "snarimax": "SNARIMAX",
    "linear_panel": "linear panel",
}
RANDOM_WALKS = ("exchange_rate", "m4_weekly")  # sets on which hardly any method beats the last value
BAND = (0.87, 0.93)  # accepted coverage of a band of 90 %
BAND_ROWS = 200  # with fewer rows a coverage is too uncertain
LOSS = -0.02  # a skill below this is a loss that a user would notice


@dataclass(frozen=True, slots=True)
class Score:
    """One series' figures on its scored rows.

    Attributes:
        rows: the number of scored rows.
        mae: by method, including Tidecast, in the series' unit.
        coverage: the share of readings inside Tidecast's band; NaN without a band.
        width: the band's mean width over the mean absolute change in the first part; NaN where that is 0.
    """

    rows: int
    mae: Mapping[str, float]
    coverage: float
    width: float

    def skill(self, method: str = TIDECAST) -> float:
        """Return 1 - MAE / MAE of the last value; NaN where the latter is 0."""
        naive = self.mae[LAST_VALUE]
        return 1 - self.mae[method] / naive if naive else np.nan

    def ratio(self, method: str) -> float:
        """Return Tidecast's MAE over a method's; NaN where one of them or the last value's is 0."""
        ours = self.mae[TIDECAST]
        other = self.mae[method]
        return ours / other if ours and other and self.mae[LAST_VALUE] else np.nan


@dataclass(frozen=True, slots=True)
class Result:
    """A set's scores, and the minutes that Tidecast took to train and to forecast."""

    name: str
    scores: tuple[Score, ...]
    minutes: float


def scored_rows(series: Series) -> NDArray[np.int64]:
    """Return the rows of the test part that have a reading."""
    return np.flatnonzero(series.present & (np.arange(len(series.y)) >= series.cut))


def score(series: Series, forecasts: Mapping[str, Float], band: Float) -> Score:
    """Score all methods on the same rows; a row without a forecast is scored as the last value.

    Args:
        series: with at least one row to score.
        forecasts: by method, `(rows,)`; NaN where missing.
        band: `(rows, 2)`, Tidecast's lower and upper bound; NaN where missing.
    """
    rows = scored_rows(series)
    y = series.y[rows]
    last = series.y[rows - 1]
    scored = {LAST_VALUE: last, **{method: made[rows] for method, made in forecasts.items()}}
    mae = {method: float(np.abs(y - np.where(np.isfinite(made), made, last)).mean()) for method, made in scored.items()}
    lower, upper = band[rows].T
    bound = np.isfinite(lower) & np.isfinite(upper)
    inside = (lower <= y) & (y <= upper)
    change = _change(series)
    width = _mean((upper - lower)[bound]) / change if change else np.nan
    return Score(len(rows), mae, _mean(inside[bound]), width)


def figures(results: Sequence[Result]) -> dict[str, float]:
    """Return the figures of all sets by name; figures without a value, such as of a method not run, are left out."""
    every = [score for result in results for score in result.scores]
    open_ended = [s for result in results if not result.name.startswith(RANDOM_WALKS) for s in result.scores]
    skills = finite(score.skill() for score in every)
    by_name = {f"{result.name}.skill_median": median_of(s.skill() for s in result.scores) for result in results}
    by_name |= {
        "wins": share_of(score.skill() > 0 for score in open_ended if np.isfinite(score.skill())),
        "worse_by_2pct": float(np.sum(skills < LOSS)),
        "worst_skill": float(skills.min()) if len(skills) else np.nan,
        "wins_over_ar_ridge": share_of(r < 1 for r in finite(_ratios(every, "ar_ridge"))),
        "ratio_to_boosting": geometric_mean(_ratios(every, "boosting")),
        "coverage_ok_share": _covered(every),
        "width_median": median_of(score.width for score in every),
        "minutes": sum(result.minutes for result in results),
    }
    return {name: value for name, value in by_name.items() if np.isfinite(value)}


def header(methods: Sequence[str]) -> list[str]:
    """Return the first two lines of the Markdown table."""
    titles = [
        *("set", "series", TITLES[TIDECAST], *(TITLES[method] for method in methods)),
        *("worst", "better", "covered", "well covered", "width", "minutes"),
    ]
    return [cells(titles), cells(["---", *["---:"] * (len(titles) - 1)])]


def line(result: Result, methods: Sequence[str]) -> str:
    """Return a set's line of the table: median skills, and in brackets Tidecast's MAE over that of each method."""
    scores = result.scores
    skills = finite(score.skill() for score in scores)
    return cells(
        [
            *(result.name, str(len(scores)), shown(median_of(skills))),
            *(_against(scores, method) for method in methods),
            shown(min(skills, default=np.nan)),
            shown(share_of(skill > 0 for skill in skills), "{:.0%}"),
            shown(median_of(score.coverage for score in scores)),
            shown(_covered(scores), "{:.0%}"),
            shown(median_of(score.width for score in scores), "{:.2f}"),
            shown(result.minutes, "{:.1f}"),
        ]
    )


def _against(scores: Sequence[Score], method: str) -> str:
    skill = median_of(score.skill(method) for score in scores)
    return f"{shown(skill)} ({shown(geometric_mean(_ratios(scores, method)))})"


def _ratios(scores: Iterable[Score], method: str) -> list[float]:
    return [score.ratio(method) for score in scores if method in score.mae]


def _covered(scores: Iterable[Score]) -> float:
    """Return the share of series, among those with enough rows, whose band has an accepted coverage."""
    return share_of(BAND[0] <= s.coverage <= BAND[1] for s in scores if s.rows >= BAND_ROWS)


def _change(series: Series) -> float:
    """Return the mean absolute change in the first part, over the readings that are present."""
    changes = np.abs(np.diff(series.y[: series.cut]))
    return _mean(changes[series.present[1 : series.cut]])


def _mean(values: Float | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if len(values) else np.nan


def finite(values: Iterable[float]) -> Float:
    """Return the finite values, `(n,)`."""
    array = np.array(list(values), dtype=np.float64)
    return array[np.isfinite(array)]


def median_of(values: Iterable[float]) -> float:
    """Return the median of the finite values; NaN without one."""
    known = finite(values)
    return float(np.median(known)) if len(known) else np.nan


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of the finite values; NaN without one."""
    known = finite(values)
    return float(np.exp(np.log(known).mean())) if len(known) else np.nan


def share_of(answers: Iterable[bool]) -> float:
    """Return the share of the answers that are true; NaN without one."""
    return _mean(np.array(list(answers), dtype=np.bool_))


def shown(value: float, form: str = "{:.3f}") -> str:
    """Return a number as the documents write it: `.84` below one, a dash in place of NaN."""
    text = form.format(value) if np.isfinite(value) else "-"
    return text.removeprefix("0") if text.startswith("0.") else text.replace("-0.", "-.")


def cells(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
