"""What a worker would have answered: train on the first part of a history, send the rest through the worker's own code.

Nothing is simulated but the clock: the readings of the test part pass, in the order of their times and as bytes,
through the same `Forecaster` that serves a stream.
"""

import csv
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from tidecast.errors import HistoryError
from tidecast.presets import preset
from tidecast.settings import Settings
from tidecast.spec import Spec
from tidecast.store import ModelStore
from tidecast.wire import Forecast

if TYPE_CHECKING:
    from trainer.history import History
    from worker.outcome import Entry

BATCH = 1000  # readings handled together, as a worker under load would
COLUMNS = ("series", "timestamp", "yhat", "yhat_lower", "yhat_upper", "kind")


@dataclass(frozen=True, slots=True)
class Settled:
    """A reading of the test part and the forecast that stood when it arrived."""

    ts: int  # epoch milliseconds, of the reading
    y: float
    before: float  # the reading before it: what the last value would have forecast
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Score:
    """One series' errors on the test part, in its unit."""

    series: str
    readings: int
    mae: float
    rmse: float
    mase: float | None  # MAE over the first part's last-value MAE; None where that is 0
    mae_last_value: float
    skill: float  # 1 - MAE / MAE of the last value
    season: int | None  # in readings, found in the first part
    skill_seasonal: float | None  # 1 - MAE / MAE of the value one season before
    coverage: float | None  # the share of readings inside their interval
    width: float | None  # mean width over the first part's last-value MAE


@dataclass(frozen=True, slots=True)
class Job:
    """What to backtest on: as for `train`, and the share of the newest readings to answer."""

    sources: tuple[str, ...]
    out: Path
    test_size: float = 0.2
    target: str | None = None
    features: tuple[str, ...] = ("all",)  # or ("none",)
    time_zone: str | None = None
    preset: str | None = None
    pictures: Path | None = None  # a folder


def run(job: Job, settings: Settings, *, as_json: bool) -> None:
    """Backtest, write every settled forecast to `job.out` and print the scores.

    Raises:
        HistoryError: a file cannot be read, or no series has a test part.
    """
    from trainer.history import read_history

    features = () if job.features == ("none",) else job.features
    found = read_history(job.sources, target=job.target, features=features, time_zone=job.time_zone).found
    histories = [history for history in found if int(job.test_size * len(history)) > 0]
    if not histories:
        raise HistoryError("no series is long enough to be split: bring more readings, or a larger --test-size")
    settled = backtest(histories, job.test_size, settings, Spec(**preset(job.preset)))
    write(job.out, settled)
    if job.pictures:
        _draw(job.pictures, {h.series: h for h in histories}, settled)
    scores = [_score(h, settled[h.series], job.test_size) for h in histories if settled[h.series]]
    _print(scores, job.out, as_json=as_json)


def backtest(
    histories: Sequence["History"], test_size: float, settings: Settings, spec: Spec | None = None
) -> dict[str, list[Settled]]:
    """Train on each history's first part and answer the rest; by series, in the order of time.

    Args:
        histories: with one target name for all.
        test_size: the share of the newest readings; they touch neither training nor scaling nor the season.
        settings: of series and training; the store is not used, a backtest publishes nothing.
        spec: the shape of the series' own networks; None: the default.
    """
    from trainer.pipeline import train
    from worker.forecaster import Forecaster

    forecaster = Forecaster(settings.series.model_copy(update={"target": histories[0].features[0]}))
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder))
        train([_part(h, 0, _cut(h, test_size)) for h in histories], spec or Spec(), settings, store)
        for cohort in store.shared.served():
            forecaster.adopt_shared(cohort, store.shared.load(cohort)[1])
        for series in store.served():
            forecaster.adopt(series, *store.load(series))
    # Readings before the test part fill the windows; no expert's record learns from them.
    starts = {h.series: _cut(h, test_size) - forecaster.rows_read(h.series) for h in histories}
    entries = (e for h in histories for e in _entries(h, starts[h.series]))
    made: dict[str, list[Forecast]] = {history.series: [] for history in histories}
    iterator = iter(sorted(entries, key=lambda entry: _ms(entry[0])))
    while batch := list(islice(iterator, BATCH)):
        for forecast in forecaster.handle(batch, _ms(batch[-1][0])).forecasts:
            made[forecast.series].append(forecast)
    return {h.series: _settled(made[h.series], int(h.ts[_cut(h, test_size)])) for h in histories}


def write(path: Path, settled: Mapping[str, Iterable[Settled]]) -> None:
    """Write settled forecasts as CSV; `timestamp` is that of the reading forecast, in UTC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for series, rows in settled.items():
            for row in rows:
                f = row.forecast
                moment = datetime.fromtimestamp(row.ts / 1000, UTC).replace(tzinfo=None)
                table.writerow((series, moment.isoformat(" "), f.yhat, f.yhat_lower, f.yhat_upper, f.kind))


def _cut(history: "History", test_size: float) -> int:
    return len(history) - int(test_size * len(history))


def _part(history: "History", start: int, stop: int) -> "History":
    return replace(history, ts=history.ts[start:stop], values=history.values[start:stop])


def _entries(history: "History", start: int) -> Iterator["Entry"]:
    """The readings from `start` on as entries of the stream, under ids of their own times."""
    name = history.series.encode()
    fields = [feature.encode() for feature in history.features]
    for ts, row in zip(history.ts[max(0, start) :].tolist(), history.values[max(0, start) :].tolist(), strict=True):
        values = {field: repr(value).encode() for field, value in zip(fields, row, strict=True)}
        yield f"{ts}-0", {b"series": name, b"ts": b"%d" % ts, **values}


def _ms(entry_id: str) -> int:
    return int(entry_id.removesuffix("-0"))


def _settled(made: Sequence[Forecast], test_from: int) -> list[Settled]:
    return [Settled(f.origin, f.y, before.y, before) for before, f in pairwise(made) if f.origin >= test_from]


def _score(history: "History", settled: Sequence[Settled], test_size: float) -> Score:
    error = np.array([row.y - row.forecast.yhat for row in settled])
    naive = float(np.mean([abs(row.y - row.before) for row in settled]))
    scale = float(np.abs(np.diff(history.values[: _cut(history, test_size), 0])).mean())
    bounds = [
        (row.forecast.yhat_lower, row.y, row.forecast.yhat_upper)
        for row in settled
        if row.forecast.yhat_lower is not None and row.forecast.yhat_upper is not None
    ]
    mae = float(np.abs(error).mean())
    season = _season(history, test_size)
    return Score(
        series=history.series,
        readings=len(settled),
        mae=mae,
        rmse=float(np.sqrt(np.mean(error**2))),
        mase=mae / scale if scale else None,
        mae_last_value=naive,
        skill=1 - mae / naive if naive else 0.0,
        season=season,
        skill_seasonal=_skill_seasonal(history, season, settled, mae),
        coverage=float(np.mean([lower <= y <= upper for lower, y, upper in bounds])) if bounds else None,
        width=float(np.mean([u - lower for lower, _, u in bounds])) / scale if bounds and scale else None,
    )


def _skill_seasonal(history: "History", season: int | None, settled: Sequence[Settled], mae: float) -> float | None:
    if season is None:
        return None
    at = np.searchsorted(history.ts, [row.ts for row in settled])
    naive = float(np.abs(history.values[at, 0] - history.values[at - season, 0]).mean())
    return 1 - mae / naive if naive else 0.0


def _season(history: "History", test_size: float) -> int | None:
    """The season that the first part shows, in readings."""
    from tidecast.windows import typical_step
    from trainer.lesson import on_grid
    from trainer.season import seasons

    part = _part(history, 0, _cut(history, test_size))
    if len(part) < 2:
        return None
    whole = np.zeros(len(part), np.int64)
    found = seasons(part.values[:, 0], whole, typical_step(part.ts), gridded=on_grid(part.ts))
    return found[0] if found else None


def _draw(folder: Path, histories: Mapping[str, "History"], settled: Mapping[str, Sequence[Settled]]) -> None:
    """Draw each series' newest readings beside their forecasts, in files named by the digest of its name."""
    from trainer.canvas import LIGHT, png
    from trainer.pictures import stream

    folder.mkdir(parents=True, exist_ok=True)
    for series, rows in settled.items():
        name = hashlib.sha256(series.encode()).hexdigest()[:12]
        figure = stream(
            np.array([row.ts for row in rows]),
            np.array([row.y for row in rows]),
            np.array([(f.yhat, f.yhat_lower, f.yhat_upper) for f in (row.forecast for row in rows)], np.float64),
            f"{series}: {histories[series].features[0]}",
            LIGHT,
        )
        (folder / f"{name}.png").write_bytes(png(figure))


def _print(scores: Sequence[Score], out: Path, *, as_json: bool) -> None:
    overall = {
        "series": len(scores),
        "readings": sum(score.readings for score in scores),
        "skill_median": float(np.median([score.skill for score in scores])),
        "skill_min": min(score.skill for score in scores),
        "better_than_last_value": float(np.mean([score.skill > 0 for score in scores])),
        "mae_mean": float(np.mean([score.mae for score in scores])),
        "rmse_mean": float(np.mean([score.rmse for score in scores])),
        "mase_median": _median([score.mase for score in scores]),
        "skill_seasonal_median": _median([score.skill_seasonal for score in scores]),
        "width_median": _median([score.width for score in scores]),
        "coverage_median": _median([score.coverage for score in scores]),
    }
    if as_json:
        print(json.dumps({"overall": overall, "series": [asdict(score) for score in scores], "out": str(out)}))
        return
    table = Table("series", "readings", "MAE", "RMSE", "MASE", "skill", "skill, seasonal", "coverage", "width")
    for score in scores:
        numbers = (score.mae, score.rmse, score.mase, score.skill, score.skill_seasonal, score.coverage, score.width)
        table.add_row(score.series, str(score.readings), *("" if n is None else f"{n:.4g}" for n in numbers))
    Console().print(table)
    print(f"median skill {overall['skill_median']:.3f} over {len(scores)} series; the forecasts are in {out}")


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
