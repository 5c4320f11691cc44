"""Cross-validate the series of a frame with the worker's own code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from tidecast.errors import HistoryError, SettingsError
from tidecast.files.history import History, counted
from tidecast.files.refusal import Refusal
from tidecast.models.spec import Spec
from tidecast.settings import Settings
from tidecast.tools.frames.building import COLUMNS, ToPandas, import_pandas, in_order, moments
from tidecast.tools.frames.frame_options import FrameOptions, check_count, request_of
from tidecast.tools.frames.left_out import warn_of_left_out
from tidecast.tools.own_packages import own_packages
from tidecast.wire import Forecast, steps_of

if TYPE_CHECKING:
    import pandas as pd

_MADE = ("unique_id", "ds", "cutoff", *COLUMNS[2:], "last_value", "mean_change", "rms_change", "kind")


@own_packages()
def backtest(
    frame: "pd.DataFrame | ToPandas",
    h: int = 1,
    n_windows: int = 1,
    step_size: int | None = None,
    refit: bool = False,
    level: float | None = None,
    test_size: float | None = None,
    **options: Unpack[FrameOptions],
) -> "pd.DataFrame":
    """Train on the first part of each series of a frame, and forecast the rest with the worker's code.

    A window begins after a cutoff and has `h` readings. The last window ends with the series. Nothing is published.

    Args:
        frame: a frame of pandas, polars or Arrow. It has a row for each reading with `unique_id`, `ds` and `y`, in
            columns or in the index. Without `unique_id` it is one series. Times without an offset are UTC, a bool is 0
            or 1.
        h: the number of steps ahead.
        n_windows: the number of windows in each series.
        step_size: the number of readings between two cutoffs; None: `h`.
        refit: train before each window. Otherwise a series is trained once, on the readings before its first window.
        level: the probability that an interval aims at; None: the setting `series.level`, .9 by default.
        test_size: the share of the newest readings, instead of `n_windows`; they get as many windows as fit.
        options: see `FrameOptions`.

    Returns:
        A row for each step of each window, by series, cutoff and time:

        - `unique_id`, `cutoff`, and the reading with its time, `y` and `ds`;
        - `yhat`, `yhat_lower`, `yhat_upper`: the forecast and its interval, NaN while the errors of that step are
          unknown;
        - `last_value`: the reading at the cutoff;
        - `mean_change`, `rms_change`: mean and root mean square of the changes in the readings trained on,
          without gross errors;
        - `kind`: the expert with the largest weight.

    Raises:
        HistoryError: the frame cannot be read, the target is not clear, or all series are too short.
        SettingsError: an argument or a setting is invalid.
        TidecastError: the extra `train` is not installed.

    Warns:
        MissingAnswers: a series cannot be used, or a window of it has no answer; the message gives the reason.
    """
    import_pandas()
    windows = _Windows.of(h, n_windows, step_size, test_size)
    request = request_of(options, level=level, horizon=h)
    histories = request.read(frame)
    cutoffs = {history.series: windows.cutoffs(len(history)) for history in histories.accepted}
    usable = [history for history in histories.accepted if cutoffs[history.series]]
    if not usable:
        longest = max(histories.accepted, key=len)
        raise HistoryError(f"no series is long enough: the longest has {_too_short([longest], cutoffs)[0].reason}")
    rows, reasons = _rows(usable, cutoffs, _Method(request.settings, request.spec or Spec(), h, refit))
    warn_of_left_out(histories, [*_too_short(histories.accepted, cutoffs), *reasons])
    made: pd.DataFrame = import_pandas().DataFrame(rows, columns=list(_MADE))
    for name in ("ds", "cutoff"):
        made[name] = moments(made[name].tolist())
    return in_order(made, "cutoff")


@dataclass(frozen=True, slots=True)
class _Windows:
    """The windows of each series; exactly one of `count` and `share` is set."""

    h: int
    step: int  # readings between two cutoffs
    count: int | None
    share: float | None  # of the newest readings

    @classmethod
    def of(cls, h: int, n_windows: int, step_size: int | None, test_size: float | None) -> "_Windows":
        """Check the arguments.

        Raises:
            SettingsError: one is invalid.
        """
        from tidecast.tools.backtest import check_test_size

        check_count("h", h)
        step = h if step_size is None else check_count("step_size", step_size)
        check_count("n_windows", n_windows)
        if test_size is None:
            return cls(h, step, n_windows, None)
        check_test_size(test_size)
        if n_windows != 1:
            raise SettingsError(f"n_windows is {n_windows} and test_size {test_size}: give one of them")
        return cls(h, step, None, test_size)

    def cutoffs(self, readings: int) -> list[int]:
        """Return the number of the last reading before each window, counted from 0; empty if the series is short."""
        last = readings - 1 - self.h
        if self.count is not None:
            first = last - (self.count - 1) * self.step
        else:
            first = readings - int((self.share or 0) * readings) - 1
        return list(range(first, last + 1, self.step)) if first > 0 else []


@dataclass(frozen=True, slots=True)
class _Method:
    """The method that forecasts the windows."""

    settings: Settings
    spec: Spec
    h: int
    refit: bool


def _rows(
    histories: Sequence[History], cutoffs: Mapping[str, Sequence[int]], method: _Method
) -> tuple[list[tuple[Any, ...]], list[Refusal]]:
    """Return the rows of the frame, and a reason for each series that lacks the answer to a window."""
    rounds = max(map(len, cutoffs.values())) if method.refit else 1
    rows: list[tuple[Any, ...]] = []
    refusals = []
    for number in range(rounds):
        chosen = {series: each[number : number + 1] if method.refit else each for series, each in cutoffs.items()}
        part = [history for history in histories if chosen[history.series]]
        for history, made, reason in _forecast(part, chosen, method):
            due = chosen[history.series]
            answered = [cutoff for cutoff in due if int(history.ts[cutoff]) in made]
            if len(answered) < len(due):
                missing = f"{len(due) - len(answered)} of {len(due)} windows were not answered"
                refusals.append(Refusal(history.series, f"{missing}: {reason}"))
            scale = _changes(history, due[0])
            for cutoff in answered:
                rows += _window(history, cutoff, made[int(history.ts[cutoff])], method.h, scale)
    return rows, refusals


def _forecast(
    histories: Sequence[History], cutoffs: Mapping[str, Sequence[int]], method: _Method
) -> Iterator[tuple[History, Mapping[int, Forecast], str]]:
    """Train on the readings up to each first cutoff, and yield each series' forecasts by the time they were made."""
    from tidecast.tools.backtest import trained_forecaster
    from tidecast.tools.backtest_report import part
    from trainer.evaluation.virtual_clock import forecasts_from

    starts = {history.series: cutoffs[history.series][0] + 1 for history in histories}
    forecaster = trained_forecaster(histories, starts, method.settings, method.spec)
    known = [part(history, 0, cutoffs[history.series][-1] + 1) for history in histories]
    made, reasons = forecasts_from(known, starts, forecaster)
    for history in histories:
        series = history.series
        reason = reasons.get(series, "they are late or repeated")
        yield history, {forecast.origin: forecast for forecast in made[series]}, reason


def _window(
    history: History, cutoff: int, forecast: Forecast, h: int, scale: tuple[float, float]
) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each step after a cutoff."""
    for step in steps_of(forecast)[:h]:
        at = cutoff + step.step
        ts = int(history.ts[at])
        y = float(history.values[at, 0])
        answer = step.yhat, step.lower, step.upper
        yield history.series, ts, forecast.origin, y, *answer, forecast.y, *scale, forecast.kind


def _changes(history: History, cutoff: int) -> tuple[float, float]:
    """Return mean and root mean square of the changes up to a cutoff, which is not the first reading."""
    from trainer.data.gross_errors import changes_before

    changes = changes_before(history, cutoff + 1)
    return float(changes.mean()), float(np.sqrt((changes**2).mean()))


def _too_short(histories: Sequence[History], cutoffs: Mapping[str, Sequence[int]]) -> list[Refusal]:
    remedy = "add readings, or use fewer windows or steps"
    return [
        Refusal(history.series, f"{counted(len(history), 'reading')}, too few for the windows: {remedy}")
        for history in histories
        if not cutoffs[history.series]
    ]
