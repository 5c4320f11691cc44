"""Backtest: train on the first part of a history, and forecast the rest with the worker's code.

Only the clock is simulated. The readings of the test part go, in the order of their times and as bytes, through the
same `Forecaster` that serves a stream.
"""

import csv
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tidecast.errors import HistoryError, SettingsError
from tidecast.files.history import Histories, History, counted, known_values
from tidecast.files.refusal import Refusal, print_notes
from tidecast.log import begin_log
from tidecast.models.presets import preset
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.outputs import check_file, check_folder
from tidecast.settings import Settings
from tidecast.tools import backtest_report
from tidecast.tools.backtest_report import Settled, cut, part
from tidecast.tools.champions import load_champions
from tidecast.wire import Forecast

if TYPE_CHECKING:
    from tidecast.online.forecaster import Forecaster
    from trainer.data.source import Source

LARGEST_TEST_SIZE = 0.9
COLUMNS = ("series", "timestamp", "yhat", "yhat_lower", "yhat_upper", "kind")


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """The forecasts of a backtest, and the refused series."""

    settled: Mapping[str, list[Settled]]  # by series: the answered readings of the test part, in the order of time
    refused: tuple[Refusal, ...] = ()  # series with fewer answers than readings, or too short for a test part


@dataclass(frozen=True, slots=True)
class BacktestJob:
    """The arguments of a backtest: as for `train`, and the share of the newest readings to forecast."""

    source: "Source"  # without features: every numeric column
    out: Path
    test_size: float = 0.2
    preset: str | None = None
    pictures: Path | None = None  # a folder
    scheduler: str = ""  # whose workers train; empty: this process


def run(job: BacktestJob, settings: Settings, *, as_json: bool) -> bool:
    """Backtest, write every settled forecast to `job.out` and print the scores; False if a series lacks answers.

    Raises:
        SettingsError: an option is out of range, or a result file cannot be written.
        HistoryError: a file cannot be read, or no series has a test part.
    """
    begin_log(settings.log_level, settings.log_format)
    check_test_size(job.test_size, "--test-size")
    spec = Spec(**preset(job.preset))
    check_file("--out", job.out)
    if job.pictures:
        check_folder("--pictures", job.pictures)
    read = _histories(job, settings)
    tested = backtest(read.accepted, job.test_size, settings, spec, job.scheduler)
    settled = {series: rows for series, rows in tested.settled.items() if rows}
    write(job.out, settled)
    histories = {history.series: history for history in read.accepted}
    if job.pictures:
        backtest_report.draw(job.pictures, histories, settled)
    scores = [backtest_report.score(histories[series], rows, job.test_size) for series, rows in settled.items()]
    if job.pictures:
        backtest_report.draw_steps(job.pictures / "steps.png", scores, settings.series.level)
    refused = (*read.refused, *tested.refused)
    backtest_report.show(scores, refused, job.out, as_json=as_json)
    return not refused


def _histories(job: BacktestJob, settings: Settings) -> Histories:
    from trainer.data.source import read_source

    read = read_source(job.source, settings, all_by_default=True)
    print_notes(read.all_notes)
    if not read.accepted:
        first = read.refused[0]
        raise HistoryError(f"no series can be used; the first, {first.series!r}: {first.reason}")
    return read


def backtest(
    histories: Sequence[History],
    test_size: float,
    settings: Settings,
    spec: Spec | None = None,
    scheduler: str = "",
) -> BacktestResult:
    """Train on each history's first part, and forecast the rest.

    Args:
        histories: the histories, all with the same target name.
        test_size: the share of the newest readings; training, scaling and season detection do not use them.
        settings: the settings of series and training; a backtest publishes nothing in the store.
        spec: the shape of the series' own networks; None: the default.
        scheduler: the address of a scheduler of Dask, whose workers train; empty: this process trains.

    Raises:
        SettingsError: the share is out of range.
        HistoryError: no series is long enough to be split.
    """
    from trainer.evaluation.virtual_clock import forecasts_from

    check_test_size(test_size)
    usable = [history for history in histories if cut(history, test_size) < len(history)]
    if not usable:
        longest = max(histories, key=len)
        raise HistoryError(f"no series is long enough: the longest has {_too_short(longest, test_size).reason}")
    starts = {history.series: cut(history, test_size) for history in usable}
    forecaster = trained_forecaster(usable, starts, settings, spec or Spec(), scheduler)
    made, reasons = forecasts_from(usable, starts, forecaster)
    settled = {h.series: _settled(made[h.series], int(h.ts[cut(h, test_size)])) for h in usable}
    too_short = [_too_short(h, test_size) for h in histories if cut(h, test_size) == len(h)]
    unanswered = [_unanswered(history, test_size, settled[history.series], reasons) for history in usable]
    return BacktestResult(settled, (*too_short, *(refusal for refusal in unanswered if refusal)))


def check_test_size(test_size: float, called: str = "test_size") -> None:
    """Check that a share leaves a part for training and a part for testing.

    Args:
        test_size: the share.
        called: the option's name, for the message.

    Raises:
        SettingsError: it is not a number, or is out of range.
    """
    is_number = isinstance(test_size, int | float) and not isinstance(test_size, bool)
    if not is_number or not 0 < test_size <= LARGEST_TEST_SIZE:
        raise SettingsError(
            f"{called} is {test_size!r}: give the share of the newest readings, above 0 and at most {LARGEST_TEST_SIZE}"
        )


def trained_forecaster(
    histories: Sequence[History], starts: Mapping[str, int], settings: Settings, spec: Spec, scheduler: str = ""
) -> "Forecaster":
    """Train in a temporary store, and return a worker's forecaster with the models.

    With a scheduler, the temporary store is within the store, as other machines must reach it.

    Args:
        histories: the histories, all with the same target name.
        starts: by series, the first reading that the training does not read.
        settings: of the series and the training.
        spec: the shape of the series' own networks.
        scheduler: as for `backtest`.
    """
    from tidecast.online.forecaster import Forecaster
    from tidecast.own_experts.in_process import InProcess
    from trainer.pipeline import TrainOptions, train

    series = settings.series.model_copy(update={"target": histories[0].features[0]})
    forecaster = Forecaster(series, own=InProcess(settings.experts))
    if scheduler:
        settings.store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="backtest-", dir=settings.store if scheduler else None) as folder:
        store = ModelStore(Path(folder))
        before = [part(history, 0, starts[history.series]) for history in histories]
        train(before, spec, settings, store, TrainOptions(scheduler=scheduler))
        load_champions(forecaster, store)
    forecaster.known = known_values(histories)
    return forecaster


def _too_short(history: History, test_size: float) -> Refusal:
    return Refusal(
        history.series,
        f"{counted(len(history), 'reading')}, too few for a test part of {test_size:.0%}: "
        "add readings, or use a larger test size",
    )


def _unanswered(
    history: History, test_size: float, settled: Sequence[Settled], reasons: Mapping[str, str]
) -> Refusal | None:
    """Describe how many readings of the test part have no answer, and why; None if all have one."""
    expected = len(history) - cut(history, test_size)
    if len(settled) == expected:
        return None
    reason = reasons.get(history.series, "they are late or repeated")
    return Refusal(history.series, f"{expected - len(settled)} of {expected} readings were not answered: {reason}")


def write(path: Path, settled: Mapping[str, Iterable[Settled]]) -> None:
    """Write settled forecasts as CSV; `timestamp` is the time of the forecast reading, in UTC.

    Further intervals and steps, if any, follow as further columns.
    """
    rows = [(series, row) for series, each in settled.items() for row in each]
    further = [name for name, _ in max((row.forecast.more for _, row in rows), key=len, default=())]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow((*COLUMNS, *further))
        for series, row in rows:
            f = row.forecast
            more = {name: _moment(int(v)) if name.startswith("ts_") else v for name, v in f.more}
            named = (more.get(name) for name in further)
            table.writerow((series, _moment(row.ts), f.yhat, f.yhat_lower, f.yhat_upper, f.kind, *named))


def _moment(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).replace(tzinfo=None).isoformat(" ")


def _settled(made: Sequence[Forecast], test_from: int) -> list[Settled]:
    return [Settled(f.origin, f.y, before.y, before) for before, f in pairwise(made) if f.origin >= test_from]
