"""Scores of the benchmark `cold_start`: skills in windows of a series' first readings, and summaries over many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.harness.scores import (
    LAST_VALUE,
    TIDECAST,
    TITLES,
    Score,
    cells,
    finite,
    geometric_mean,
    median_of,
    score,
    share_of,
    shown,
)
from benchmarks.harness.yardsticks import Series
from tidecast.arrays import Float

Window = tuple[int, int]  # readings before the first scored one, and before the first after them

WINDOWS: tuple[Window, ...] = ((10, 30), (30, 100), (100, 300), (300, 1000))
FEWEST = 10  # scored readings of a window: fewer compare by chance
BAND_WINDOW: Window = (30, 300)
BAND_FEWEST = 50  # scored readings: with fewer a coverage is too uncertain
BAND = (0.85, 0.95)  # accepted coverage of a band of 90 %
SMALL_LOSS, LOSS = -0.02, -0.05  # skills below these are losses


@dataclass(frozen=True, slots=True)
class StartScore:
    """The scores of one series by window, without windows in which it has too few readings.

    Attributes:
        windows: by window.
        coverage: the share of the readings in `BAND_WINDOW` inside Tidecast's band; NaN where it cannot be judged.
    """

    windows: Mapping[Window, Score]
    coverage: float


@dataclass(frozen=True, slots=True)
class SetResult:
    """A set's scores, one for each series."""

    name: str
    scores: tuple[StartScore, ...]

    def within(self, window: Window) -> list[Score]:
        """Return the scores in a window of all series that are long enough."""
        return [start.windows[window] for start in self.scores if window in start.windows]


def score_start(y: Float, forecasts: Mapping[str, Float], band: Float) -> StartScore:
    """Score all methods on the first readings of a series.

    Args:
        y: `(readings,)`.
        forecasts: by method, `(readings,)`; where NaN, the last value is scored.
        band: `(readings, 2)`, Tidecast's lower and upper bound; NaN where missing.
    """
    scores = {window: _score(y, forecasts, band, window) for window in WINDOWS if len(y) >= window[0] + FEWEST}
    coverage = np.nan
    if len(y) >= BAND_WINDOW[0] + BAND_FEWEST:
        judged = _score(y, forecasts, band, BAND_WINDOW)
        coverage = judged.coverage if judged.mae[LAST_VALUE] else np.nan  # a series that stands still has no band
    return StartScore(scores, coverage)


def _score(y: Float, forecasts: Mapping[str, Float], band: Float, window: Window) -> Score:
    first, stop = window
    part = Series(y[:stop], np.ones(len(y[:stop]), np.bool_), first, 1)
    return score(part, {method: made[:stop] for method, made in forecasts.items()}, band[:stop])


def figures(results: Sequence[SetResult], methods: Sequence[str]) -> dict[str, float]:
    """Return the figures of all sets by name; figures without a value, such as of short series, are left out."""
    by_name = {f"{r.name}.skill_{_text(w)}": _skill(r.within(w)) for r in results for w in WINDOWS}
    by_name |= {
        f"{r.name}.ratio_to_{method}_{_text(w)}": _ratio(r.within(w), method)
        for r in results
        for method in methods
        for w in WINDOWS
    }
    by_name |= {
        "below_5pct_30_100": _below(results, (30, 100), LOSS),
        "below_5pct_100_300": _below(results, (100, 300), LOSS),
        "below_2pct_100_300": _below(results, (100, 300), SMALL_LOSS),
        "coverage_ok_share": _covered(start for result in results for start in result.scores),
    }
    return {name: value for name, value in by_name.items() if np.isfinite(value)}


def header(methods: Sequence[str]) -> list[str]:
    """Return the first two lines of both Markdown tables."""
    return [cells(["set", "series", *(TITLES[m] for m in methods)]), cells(["---", *["---:"] * (1 + len(methods))])]


def skills_line(result: SetResult, methods: Sequence[str]) -> str:
    """Return a set's line of the first table: the median skills in all windows."""
    return _line(result, [[_skill(result.within(w), method) for w in WINDOWS] for method in methods])


def ratios_line(result: SetResult, methods: Sequence[str]) -> str:
    """Return a set's line of the second table: Tidecast's MAE over that of each method in all windows."""
    return _line(result, [[_ratio(result.within(w), method) for w in WINDOWS] for method in methods])


def _line(result: SetResult, numbers: Sequence[Sequence[float]]) -> str:
    texts = [" / ".join(shown(number, "{:.2f}") for number in each) for each in numbers]
    return cells([result.name, str(len(result.scores)), *texts])


def _skill(scores: Iterable[Score], method: str = TIDECAST) -> float:
    return median_of(score.skill(method) for score in scores)


def _ratio(scores: Iterable[Score], method: str) -> float:
    return geometric_mean(score.ratio(method) for score in scores)


def _below(results: Iterable[SetResult], window: Window, limit: float) -> float:
    """Return the share of all series whose skill in a window is below the limit."""
    skills = finite(score.skill() for result in results for score in result.within(window))
    return share_of(skill < limit for skill in skills)


def _covered(starts: Iterable[StartScore]) -> float:
    coverages = finite(start.coverage for start in starts)
    return share_of(BAND[0] <= coverage <= BAND[1] for coverage in coverages)


def _text(window: Window) -> str:
    return "_".join(map(str, window))
