"""AutoETS and AutoARIMA of statsforecast on the same series."""

import time
from collections.abc import Sequence
from importlib.util import find_spec

from benchmarks.harness.real import spread
from tidecast.files.history import History

SEASON = 24


def statistical_figures(histories: Sequence[History], count: int) -> dict[str, float]:
    """Return the series that each model fits in a minute on one core, measured on some of the series.

    Args:
        histories: of all series.
        count: on how many of them; 0: none.
    """
    if not count or find_spec("statsforecast") is None:
        print("statsforecast is not installed, or not wanted: AutoETS and AutoARIMA are left out")
        return {}
    from statsforecast.models import AutoARIMA, AutoETS

    chosen = spread(histories, count)
    figures = {}
    for name, model in (("autoets", AutoETS), ("autoarima", AutoARIMA)):
        model(season_length=SEASON).fit(chosen[0].values[:, 0])  # compiles
        before = time.process_time()
        for history in chosen:
            model(season_length=SEASON).fit(history.values[:, 0])
        figures[f"{name}_per_minute_per_core"] = 60 * len(chosen) / (time.process_time() - before)
    return figures
