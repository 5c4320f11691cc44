"""Backtest the series of a frame."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidecast.errors import HistoryError, MissingAnswers
from tidecast.files.history import REPEATED, Histories
from tidecast.files.refusal import Refusal
from tidecast.models import presets
from tidecast.models.spec import Spec
from tidecast.settings import Settings, load_settings
from tidecast.tools.frames import arguments
from tidecast.tools.frames.building import COLUMNS, DECORATED, SHOWN, import_pandas, in_order, moments
from tidecast.tools.own_packages import own_packages

if TYPE_CHECKING:
    import pandas as pd

    from tidecast.tools.backtest import BacktestResult


@own_packages()
def backtest_frame(
    frame: "pd.DataFrame",
    *,
    test_size: float = 0.2,
    target: str | None = None,
    features: Sequence[str] = (),
    preset: str | None = None,
    **given: Any,
) -> "pd.DataFrame":
    """Train on the first part of each series of a frame, and forecast the rest with the worker's code.

    Args:
        frame: a pandas DataFrame, or an object with `to_pandas`. It has a row for each reading with `unique_id`, `ds`
            and `y`, in columns or in the index. Without `unique_id` it is one series. Times without an offset are UTC,
            a bool is 0 or 1.
        test_size: the share of the newest readings; training, scaling and season detection do not use them.
        target: the column to forecast; None: `y`, `value`, or the only numeric column.
        features: further columns to use; `("all",)`: every numeric column.
        preset: the preset of the networks: `default`, `tutorial`, `revin`, `skip` or `seasonal`; None: `default`.
        given: other settings by name, such as `train={"epochs": 4}` or `series={"minimum": 0}`.

    Returns:
        A row for each reading of the test part, by series and time, with the columns of `read_forecasts` and `kind`,
        the expert with the largest weight. Nothing is published.

    Raises:
        HistoryError: the frame cannot be read, the target is not clear, or no series has a test part.
        SettingsError: an argument or a setting is invalid.
        TidecastError: the extra `train` is not installed.

    Warns:
        MissingAnswers: a series cannot be used, or has fewer answers than readings; the message gives the reason.
    """
    import_pandas()
    from tidecast.tools.backtest import backtest, check_test_size

    check_test_size(test_size)
    spec = Spec(**presets.preset(preset))
    settings = load_settings(**given)
    histories = _histories(frame, target, features, settings)
    tested = backtest(histories.accepted, test_size, settings, spec)
    _warn_of_missing(histories, tested.refused)
    return _frame(tested)


def _histories(frame: Any, target: Any, features: Any, settings: Settings) -> Histories:
    """Read the histories of a frame.

    Raises:
        HistoryError: the frame cannot be read, or has no usable series.
    """
    from trainer.data.frames import read_frame

    columns = arguments.columns("features", features)
    histories = read_frame(frame, arguments.column("target", target), columns, settings.series.target)
    if not histories.accepted:
        first = histories.refused[0]
        raise HistoryError(f"series {first.series!r}: {first.reason}")
    return histories


def _frame(tested: "BacktestResult") -> "pd.DataFrame":
    rows = [
        (series, row.ts, row.y, f.yhat, f.yhat_lower, f.yhat_upper, f.kind)
        for series, settled in tested.settled.items()
        for row in settled
        for f in (row.forecast,)
    ]
    frame: pd.DataFrame = import_pandas().DataFrame(rows, columns=[*COLUMNS, "kind"])
    frame["ds"] = moments(frame["ds"].tolist())
    return in_order(frame)


def _warn_of_missing(read: Histories, refused: Sequence[Refusal]) -> None:
    """Warn the caller of `backtest_frame` about series that were left out, repeated or answered in part."""
    repeated = [Refusal(h.series, note) for h in read.accepted for note in h.notes if REPEATED in note]
    reasons = (*read.refused, *refused, *repeated)
    if not reasons:
        return
    shown = "; ".join(f"{each.series!r}: {each.reason}" for each in reasons[:SHOWN])
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    count = len({each.series for each in reasons})
    series = len(read.accepted) + len(read.refused)
    message = f"{count} of {series} series were left out or answered in part: {shown}{more}"
    warnings.warn(message, MissingAnswers, stacklevel=DECORATED)
