"""Report the scores of a backtest as a table, as JSON and as pictures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from tidecast.files.history import History
from tidecast.files.refusal import Refusal, print_refused
from tidecast.models.metrics import skill
from tidecast.models.step_scores import COLUMNS as STEP_COLUMNS
from tidecast.models.step_scores import StepScore, mean_scores, step_scores
from tidecast.outputs import table_of
from tidecast.wire import Forecast


@dataclass(frozen=True, slots=True)
class Settled:
    """A reading of the test part, and the forecast that was made for it."""

    ts: int  # epoch milliseconds, of the reading
    y: float
    before: float  # the reading before it, which is the last-value forecast
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class BacktestScore:
    """One series' errors on the test part, in its unit."""

    series: str
    readings: int
    mae: float
    rmse: float
    mase: float | None  # MAE over the first part's last-value MAE without gross errors; None if that is 0
    mae_last_value: float
    skill: float  # 1 - MAE / MAE of the last value
    season: int | None  # in readings, detected in the first part
    skill_seasonal: float | None  # 1 - MAE / MAE of the value one season before
    coverage: float | None  # the share of readings inside their interval
    width: float | None  # the mean width of the intervals
    relative_width: float | None  # the same, over the first part's last-value MAE without gross errors
    steps: list[StepScore]  # by the number of steps ahead


def cut(history: History, test_size: float) -> int:
    """Return the index of the first reading of the test part."""
    return len(history) - int(test_size * len(history))


def part(history: History, start: int, stop: int) -> History:
    """Return the readings from `start` to before `stop`."""
    return replace(history, ts=history.ts[start:stop], values=history.values[start:stop])


def score(history: History, settled: Sequence[Settled], test_size: float) -> BacktestScore:
    """Score the forecasts of one series."""
    from trainer.data.gross_errors import changes_before

    error = np.array([row.y - row.forecast.yhat for row in settled])
    naive = float(np.mean([abs(row.y - row.before) for row in settled]))
    changes = changes_before(history, cut(history, test_size))
    scale = float(changes.mean()) if len(changes) else 0.0
    bounds = [
        (row.forecast.yhat_lower, row.y, row.forecast.yhat_upper)
        for row in settled
        if row.forecast.yhat_lower is not None and row.forecast.yhat_upper is not None
    ]
    mae = float(np.abs(error).mean())
    width = float(np.mean([upper - lower for lower, _, upper in bounds])) if bounds else None
    season = _season(history, test_size)
    return BacktestScore(
        series=history.series,
        readings=len(settled),
        mae=mae,
        rmse=float(np.sqrt(np.mean(error**2))),
        mase=mae / scale if scale else None,
        mae_last_value=naive,
        skill=skill(mae, naive),
        season=season,
        skill_seasonal=_skill_seasonal(history, season, settled, mae),
        coverage=float(np.mean([lower <= y <= upper for lower, y, upper in bounds])) if bounds else None,
        width=width,
        relative_width=width / scale if width is not None and scale else None,
        steps=step_scores([row.forecast for row in settled], np.array([row.y for row in settled]), scale),
    )


def _skill_seasonal(history: History, season: int | None, settled: Sequence[Settled], mae: float) -> float | None:
    if season is None:
        return None
    at = np.searchsorted(history.ts, [row.ts for row in settled])
    naive = float(np.abs(history.values[at, 0] - history.values[at - season, 0]).mean())
    return skill(mae, naive)


def _season(history: History, test_size: float) -> int | None:
    """Detect the season of the first part, in readings."""
    from tidecast.models.time_grid import typical_step
    from trainer.fit.seasonality import seasons
    from trainer.fit.training_set import on_grid

    first = part(history, 0, cut(history, test_size))
    if len(first) < 2:
        return None
    whole = np.zeros(len(first), np.int64)
    lengths = seasons(first.values[:, 0], whole, typical_step(first.ts), gridded=on_grid(first.ts))
    return lengths[0] if lengths else None


def draw(folder: Path, histories: Mapping[str, History], settled: Mapping[str, Sequence[Settled]]) -> None:
    """Draw each series' newest readings and their forecasts, in files named by the digest of its name."""
    from trainer.reports.canvas import Sheet, png
    from trainer.reports.figures import stream

    folder.mkdir(parents=True, exist_ok=True)
    for series, rows in settled.items():
        name = hashlib.sha256(series.encode()).hexdigest()[:12]
        figure = stream(
            np.array([row.ts for row in rows]),
            np.array([row.y for row in rows]),
            np.array([(f.yhat, f.yhat_lower, f.yhat_upper) for f in (row.forecast for row in rows)], np.float64),
            f"{series}: {histories[series].features[0]}",
            Sheet(),
        )
        (folder / f"{name}.png").write_bytes(png(figure))


def draw_steps(file: Path, scores: Sequence[BacktestScore], level: float) -> None:
    """Draw the means of the error and of the coverage over all series by step; nothing for one step.

    Args:
        file: the picture to write.
        scores: of the series.
        level: the coverage that the intervals aim at.
    """
    from trainer.reports.canvas import Sheet, png
    from trainer.reports.steps import errors_by_step

    steps = mean_scores([score.steps for score in scores])
    if len(steps) > 1:
        file.write_bytes(png(errors_by_step(steps, level, "mean of all series", Sheet())))


def show(scores: Sequence[BacktestScore], refused: Sequence[Refusal], out: Path, *, as_json: bool) -> None:
    """Print the scores and the refused series; the latter also to standard error."""
    print_refused(refused)
    if as_json:
        answer = {
            "overall": _overall(scores),
            "steps": [asdict(step) for step in mean_scores([score.steps for score in scores])],
            "series": [asdict(score) for score in scores],
            "refused": [asdict(refusal) for refusal in refused],
            "out": str(out),
        }
        print(json.dumps(answer))
        return
    columns = ("series", "readings", "MAE", "RMSE", "MASE", "skill", "seasonal", "cover", "width")
    table = table_of(*columns, texts=("series",))
    for score in scores:
        numbers = (score.mae, score.rmse, score.mase, score.skill, score.skill_seasonal, score.coverage, score.width)
        table.add_row(score.series, str(score.readings), *("" if n is None else f"{n:.3g}" for n in numbers))
    Console().print(table)
    _show_steps(scores)
    skill = _median([score.skill for score in scores])
    print(f"median skill {skill or 0:.3f} over {len(scores)} series; the forecasts are in {out}")


def _show_steps(scores: Sequence[BacktestScore]) -> None:
    """Print the means over all series by step, if there are several steps."""
    steps = mean_scores([score.steps for score in scores])
    if len(steps) > 1:
        table = table_of(*STEP_COLUMNS, texts=())
        for step in steps:
            table.add_row(*step.cells())
        Console().print(table)


def _overall(scores: Sequence[BacktestScore]) -> dict[str, float | None]:
    skills = [score.skill for score in scores]
    return {
        "series": len(scores),
        "readings": sum(score.readings for score in scores),
        "skill_median": _median(skills),
        "skill_min": min(skills, default=None),
        "better_than_last_value": _mean([skill > 0 for skill in skills]),
        "mae_mean": _mean([score.mae for score in scores]),
        "rmse_mean": _mean([score.rmse for score in scores]),
        "mase_median": _median([score.mase for score in scores]),
        "skill_seasonal_median": _median([score.skill_seasonal for score in scores]),
        "relative_width_median": _median([score.relative_width for score in scores]),
        "coverage_median": _median([score.coverage for score in scores]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
