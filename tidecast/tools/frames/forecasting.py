"""Forecast what follows the series of a frame."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from tidecast.errors import SettingsError, StoreError
from tidecast.files.history import History, known_values
from tidecast.files.refusal import Refusal
from tidecast.models.gross_errors import FEWEST_ROWS
from tidecast.models.store import ModelStore
from tidecast.tools.champions import load_champions
from tidecast.tools.frames.building import COLUMNS, ToPandas, import_pandas, in_order, moments
from tidecast.tools.frames.frame_options import FrameOptions, check_count, request_of
from tidecast.tools.frames.left_out import warn_of_left_out
from tidecast.tools.own_packages import own_packages
from tidecast.wire import Forecast, steps_of

if TYPE_CHECKING:
    import pandas as pd

    from tidecast.online.forecaster import Forecaster

MOST_READINGS = 1000  # of a series, the newest: enough for the records of its experts and its intervals
_OF_TRAINING = ("preset", "shape", "seed", "train")


@own_packages()
def forecast(
    frame: "pd.DataFrame | ToPandas",
    h: int = 1,
    store: Path | str | None = None,
    level: float | None = None,
    **options: Unpack[FrameOptions],
) -> "pd.DataFrame":
    """Forecast the next `h` steps of each series with the worker's own code. Nothing is trained or published.

    Args:
        frame: as for `backtest`. The newest 1,000 readings of a series are read.
        h: the number of steps.
        store: the directory of a store, whose champions forecast their series. Series without a champion, and all
            series without a store, are forecast by the pretrained network and the experts that learn from each reading.
        level: the probability that an interval aims at; None: the setting `series.level`.
        options: see `FrameOptions`; those of the training are not allowed. With a store the default of `features` is
            every numeric column.

    Returns:
        A row for each step: `unique_id`, `ds` (the time), `yhat`, `yhat_lower`, `yhat_upper` (NaN while the errors of
        that step are unknown).

    Raises:
        HistoryError: the frame cannot be read, or the target is not clear.
        SettingsError: an argument or a setting is invalid.
        StoreError: the store does not exist, or a version is missing.
        TidecastError: the extra `train` is not installed.

    Warns:
        MissingAnswers: a series cannot be forecast; the message gives the reason.
    """
    import_pandas()
    check_count("h", h)
    wrong = [name for name in _OF_TRAINING if name in options]
    if wrong:
        raise SettingsError(f"{wrong[0]} is an option of a training, and `forecast` trains nothing: leave it out")
    if store is not None:
        options = {"features": ("all",), **options}
    request = request_of(options, level=level, horizon=h)

    from tidecast.online.forecaster import Forecaster
    from tidecast.own_experts.in_process import InProcess

    histories = request.read(frame)
    series = request.settings.series.model_copy(update={"target": histories.accepted[0].features[0]})
    forecaster = Forecaster(series, own=InProcess(request.settings.experts))
    forecaster.known = known_values(histories.accepted)
    if store is not None:
        load_champions(forecaster, _existing(store))
    newest, reasons = _newest(forecaster, histories.accepted)
    warn_of_left_out(histories, [Refusal(name, reason) for name, reason in reasons.items() if name not in newest])
    rows = [row for made in newest.values() for row in _rows(made)]
    answers: pd.DataFrame = import_pandas().DataFrame(rows, columns=["unique_id", "ds", *COLUMNS[3:]])
    answers["ds"] = moments(answers["ds"].tolist())
    return in_order(answers)


def _existing(store: Path | str) -> ModelStore:
    if not Path(store).is_dir():
        raise StoreError(f"the store {store} does not exist: train into it first, or leave it out")
    return ModelStore(Path(store))


def _newest(forecaster: "Forecaster", histories: Sequence[History]) -> tuple[Mapping[str, Forecast], Mapping[str, str]]:
    """Return the newest forecast of each series that has a time, and why a series has none."""
    from trainer.evaluation.virtual_clock import results_of

    starts = {history.series: _start(forecaster, history) for history in histories}
    newest = {}
    reasons = {h.series: "one reading has no step to the next: give at least two" for h in histories}
    for result in results_of(forecaster, histories, starts):
        newest.update({each.series: each for each in result.forecasts if each.ts is not None})
        reasons.update({letter.fields[b"series"].decode(): letter.detail for letter in result.dead})
    return newest, reasons


def _start(forecaster: "Forecaster", history: History) -> int:
    """Return the first reading to read: a champion needs its window, and the readings since its training."""
    earliest = len(history) - MOST_READINGS
    slot = forecaster.engine.slot(history.series)
    if slot is None:
        return earliest
    since = int(np.searchsorted(history.ts, slot.trained_until, side="right"))
    return max(earliest, since) - forecaster.rows_read(history.series) - int(FEWEST_ROWS)


def _rows(made: Forecast) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each step of a forecast."""
    for step in steps_of(made):
        yield made.series, step.ts, step.yhat, step.lower, step.upper
