"""Score the forecasts of the demo: figures, a table and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from tidecast.models.metrics import skill
from tidecast.outputs import table_of
from tidecast.wire import Forecast

SHOWN = 120  # readings of each series in the picture


@dataclass(slots=True)
class DemoScore:
    """The errors of one series' forecasts on the test part."""

    test_from: int  # epoch milliseconds
    forecasts: list[Forecast] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)  # of the forecasts
    naive: list[float] = field(default_factory=list)  # of the last value, on the same readings
    covered: int = 0

    def add(self, forecast: Forecast) -> None:
        """Score the previous forecast with this reading, and keep the new one."""
        before = self.forecasts[-1] if self.forecasts else None
        self.forecasts.append(forecast)
        if before is None or forecast.error is None or forecast.origin < self.test_from:
            return
        self.errors.append(abs(forecast.error))
        self.naive.append(abs(forecast.y - before.y))
        if before.yhat_lower is not None and before.yhat_upper is not None:
            self.covered += before.yhat_lower <= forecast.y <= before.yhat_upper

    def figures(self) -> dict[str, float]:
        """Return the mean absolute errors of the forecasts and the last value, the skill and the coverage."""
        return figures_of(self.errors, self.naive) | {"coverage": self.covered / max(1, len(self.errors))}


def figures_of(errors: Sequence[float], naive: Sequence[float]) -> dict[str, float]:
    """Return the mean absolute error of forecasts and of the last value, and the skill."""
    mae = sum(errors) / max(1, len(errors))
    mae_naive = sum(naive) / max(1, len(naive))
    return {"mae": mae, "mae_naive": mae_naive, "skill": skill(mae, mae_naive)}


def sum_up(ids: Sequence[str], scores: dict[str, DemoScore]) -> dict[str, Any]:
    """Return the figures of all series; `ids` are those of the readings pushed."""
    answered = {forecast.id for score in scores.values() for forecast in score.forecasts}
    errors = [error for score in scores.values() for error in score.errors]
    naive = [error for score in scores.values() for error in score.naive]
    return {
        "readings": len(ids),
        "forecasts": len(answered),
        "unanswered": len(set(ids) - answered),
        **figures_of(errors, naive),
        "series": {series: score.figures() for series, score in scores.items()},
    }


def live_table(scores: dict[str, DemoScore]) -> Table:
    """Return the newest forecast of each series, and its score so far."""
    columns = ("series", "reading", "forecast", "90 % interval", "model", "MAE", "naive", "skill")
    table = table_of(*columns, texts=("series", "model"))
    for series, score in scores.items():
        if not score.forecasts:
            continue
        last = score.forecasts[-1]
        figures = score.figures()
        interval = "" if last.yhat_lower is None else f"{last.yhat_lower:.1f} to {last.yhat_upper:.1f}"
        shown = (f"{figures[name]:.3g}" for name in ("mae", "mae_naive", "skill"))
        table.add_row(series, f"{last.y:.1f}", f"{last.yhat:.1f}", interval, last.kind, *shown)
    return table


def score_table(series: dict[str, dict[str, float]]) -> Table:
    """Return each series' figures."""
    table = table_of("series", "MAE", "naive MAE", "skill", "coverage of the 90 % interval", texts=("series",))
    for name, figures in series.items():
        table.add_row(name, *(f"{figures[key]:.3f}" for key in ("mae", "mae_naive", "skill", "coverage")))
    return table


def picture(scores: dict[str, DemoScore], out: Path) -> Path:
    """Draw each series' newest forecasts, with their intervals, and the readings; return the file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(scores), figsize=(10, 2.4 * len(scores)), layout="constrained")
    for axis, (series, score) in zip(axes, scores.items(), strict=True):
        tail = [f for f in score.forecasts if f.ts is not None and f.yhat_lower is not None][-SHOWN:]
        made = tail[:-1]
        due = [datetime.fromtimestamp(f.origin / 1000, UTC) for f in tail[1:]]
        lower, upper = ([getattr(f, bound) for f in made] for bound in ("yhat_lower", "yhat_upper"))
        axis.fill_between(due, lower, upper, color="#4c8bb8", alpha=0.25, lw=0, label="90 % interval")
        axis.plot(due, [f.y for f in tail[1:]], color="#222222", lw=1.2, label="reading")
        axis.plot(due, [f.yhat for f in made], color="#d1495b", lw=1.2, label="forecast, one step before")
        axis.set_title(
            f"{series}: skill {score.figures()['skill']:.2f} against the last value", loc="left", fontsize=10
        )
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "forecasts.png", dpi=110)
    plt.close(figure)
    return out / "forecasts.png"
