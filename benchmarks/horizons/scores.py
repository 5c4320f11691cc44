"""Scores of the benchmark `horizons`: errors and intervals by step of each series, and summaries over many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.harness.scores import TIDECAST, TITLES, cells, geometric_mean, shown
from tidecast.arrays import Float

FEWEST = 50  # forecasts of a step, over a set, that a coverage needs


@dataclass(frozen=True, slots=True)
class SeriesScore:
    """The scores of one series.

    Attributes:
        mase: by method, `(steps,)` the mean absolute error over the mean absolute change before the test part.
        inside: `(steps,)` how many readings lay inside Tidecast's interval.
        bounded: `(steps,)` how many forecasts had one.
    """

    mase: Mapping[str, Float]
    inside: Float
    bounded: Float


@dataclass(frozen=True, slots=True)
class SetResult:
    """The scores of a set."""

    name: str
    steps: int
    scores: tuple[SeriesScore, ...]

    def geometric(self, method: str = TIDECAST, step: int | None = None) -> float:
        """Return the geometric mean of a method's MASE over the series, and over all steps or of one from 1 on."""
        part = slice(None) if step is None else slice(step - 1, step)
        return _geometric(score.mase[method][part] for score in self.scores)

    def coverage(self) -> float:
        """Return the lowest share over the steps of readings inside the interval; NaN with too few forecasts."""
        bounded = np.sum([score.bounded for score in self.scores], axis=0)
        inside = np.sum([score.inside for score in self.scores], axis=0)
        shares = inside[bounded >= FEWEST] / bounded[bounded >= FEWEST]
        return float(shares.min()) if len(shares) else np.nan


def figures(results: Sequence[SetResult], methods: Sequence[str]) -> dict[str, float]:
    """Return the figures of all sets by name; figures without a value are left out."""
    by_name: dict[str, float] = {}
    for result in results:
        by_name |= {
            f"{result.name}.mase_geo": result.geometric(),
            f"{result.name}.ratio_to_best": _ratio_to_best([result], methods),
            f"{result.name}.coverage_by_step_min": result.coverage(),
        }
    by_name |= {
        "ratio_to_best": _ratio_to_best(results, methods),
        "coverage_by_step_min": min((result.coverage() for result in results), default=np.nan),
    }
    return {name: value for name, value in by_name.items() if np.isfinite(value)}


def header(methods: Sequence[str]) -> list[str]:
    """Return the first two lines of the Markdown table."""
    titles = ["set", "series", "steps", *(TITLES[method] for method in (TIDECAST, *methods)), "to the best", "covered"]
    return [cells(titles), cells(["---", *["---:"] * (len(titles) - 1)])]


def line(result: SetResult, methods: Sequence[str]) -> str:
    """Return a set's line: each method's MASE over all steps, and in brackets at the first, a middle and the last."""
    errors = []
    for method in (TIDECAST, *methods):
        some = [result.geometric(method, step) for step in (1, (1 + result.steps) // 2, result.steps)]
        errors.append(f"{shown(result.geometric(method))} ({' / '.join(shown(each, '{:.2f}') for each in some)})")
    ratio = _ratio_to_best([result], methods)
    counts = [str(len(result.scores)), str(result.steps)]
    return cells([result.name, *counts, *errors, shown(ratio), shown(result.coverage())])


def _ratio_to_best(results: Sequence[SetResult], methods: Sequence[str]) -> float:
    """Return Tidecast's geometric mean over that of the best other method, all series weighing the same."""
    scores = [score for result in results for score in result.scores]
    others = [_geometric(score.mase[method] for score in scores) for method in methods]
    return _geometric(score.mase[TIDECAST] for score in scores) / min(others) if others and scores else np.nan


def _geometric(errors: Iterable[Float]) -> float:
    """Return the geometric mean over series of that over steps; a step without any error is left out."""
    return geometric_mean(geometric_mean(each[each > 0]) for each in errors)
