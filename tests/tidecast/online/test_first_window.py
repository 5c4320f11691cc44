"""The window of a series that a worker meets with a model begins with the newest rows of the model's history."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.harness.models import make_model
from tests.tidecast.online.harness import BEGUN_MS, HOUR_MS, answers_to, entries_of, forecaster_with
from tidecast.arrays import Float, Int64
from tidecast.models.model import Model, NewestRows
from tidecast.models.spec import Spec
from tidecast.models.time_grid import Grid
from tidecast.online.forecaster import Forecaster
from tidecast.online.offline import learn_history
from tidecast.wire.state_format import ONLINE

WINDOW = 12
VALUES = np.random.default_rng(0).normal(size=60).cumsum()
LEARNED = 40  # values of the history


def model(
    *, rows: int = 20, features: Sequence[str] = ("value",), others: Float | None = None, **header: object
) -> Model:
    """Return a model with so many newest rows of a history of hours, and further features' values of them."""
    history = np.arange(LEARNED - rows, LEARNED)
    values = VALUES[history][:, None] if others is None else np.column_stack([VALUES[history], others[history]])
    newest = NewestRows(BEGUN_MS + history * HOUR_MS, values, np.zeros(rows, np.int64))
    spec = Spec(window=WINDOW, units=5, features=tuple(features))
    return replace(make_model("a", spec, step_ms=HOUR_MS, **header), newest=newest)


def online_after(first: int, stop: int) -> Int64:
    """Return the numbers of the experts that have learned from these values."""
    n = stop - first
    grid = Grid(np.arange(n), VALUES[first:stop, None], np.zeros(n, np.int64), np.zeros(n, np.bool_))
    return learn_history(grid, (), HOUR_MS, WINDOW).online


def window_of(forecaster: Forecaster) -> list[float]:
    """Return the targets that the window of series `a` holds."""
    values: list[float] = forecaster.states["a"].window.rows[:, 0].tolist()
    return values


def test_the_first_forecast_uses_a_full_window() -> None:
    """It is the one of a worker that has read the history reading by reading, the experts that learn included."""
    warm = forecaster_with(replace(model(), online=online_after(20, LEARNED)))
    reader = forecaster_with(replace(model(), newest=None))
    answers_to(reader, VALUES[20:LEARNED], first=20)
    reader_first = answers_to(reader, VALUES[LEARNED:41], first=LEARNED)
    (first,) = answers_to(warm, VALUES[LEARNED:41], first=LEARNED)
    assert ("lstm", reader_first[0].yhat, 0) == (first.kind, pytest.approx(first.yhat), first.filled)
    np.testing.assert_array_equal(reader.states["a"].answers, warm.states["a"].answers)


def test_a_series_that_runs_goes_on_from_the_models_experts() -> None:
    """Their levels keep their place, and the change since the end of the history teaches them nothing."""
    forecaster = forecaster_with()
    answers_to(forecaster, VALUES[10:42], first=10)
    online = online_after(20, LEARNED)
    forecaster.set_model("a", 1, replace(model(span=(0, BEGUN_MS + (LEARNED - 1) * HOUR_MS)), online=online))
    learned = online.view(ONLINE)[0]
    mine = forecaster.states["a"].fields.online
    assert (VALUES[41], 0) == (mine.newest, mine.pending)
    np.testing.assert_allclose(mine.levels + mine.newest, learned.levels + learned.newest)
    np.testing.assert_array_equal(mine.moments, learned.moments)


@pytest.mark.parametrize(("missing", "held"), [(3, 24), (4, 1)])
def test_a_gap_after_the_history_follows_the_rule_of_gaps(missing: int, held: int) -> None:
    """At most three missing steps are filled; a longer gap clears the window."""
    forecaster = forecaster_with(model())
    answers_to(forecaster, [1.0], first=LEARNED + missing)
    assert held == len(window_of(forecaster))


@pytest.mark.parametrize(("first", "before"), [(0, 0), (20, 0), (30, 10), (39, 19)])
def test_readings_of_the_history_itself_are_all_answered(first: int, before: int) -> None:
    """Only rows before the first reading are used, so none of them is late or a duplicate."""
    forecaster = forecaster_with(model())
    assert 60 - first == len(answers_to(forecaster, VALUES[first:], first=first))
    assert VALUES[first - before :].tolist() == window_of(forecaster)


def test_a_late_or_repeated_reading_finds_what_it_would_find_in_an_empty_window() -> None:
    """The first reading decides, and is answered; the others are late or duplicates as always."""
    forecaster = forecaster_with(model())
    later, earlier = (entries_of(VALUES[n : n + 1], first=n)[0] for n in (30, 25))
    result = forecaster.handle([later, earlier, (f"{later[0]}1", later[1])], BEGUN_MS + 100 * HOUR_MS)
    assert {"forecast": 1, "late": 1, "duplicate": 1} == {name: n for name, n in result.counts.items() if n}


def test_after_a_restart_the_window_is_the_committed_one() -> None:
    """All of its rows are stored with the first commit, and a batch that was not committed begins in the same way."""
    forecaster = forecaster_with(model())
    result = forecaster.handle(entries_of(VALUES[LEARNED:42], first=LEARNED), BEGUN_MS + 42 * HOUR_MS)
    restored = forecaster_with(model())
    restored.restore(result.states)
    assert VALUES[20:42].tolist() == window_of(restored)
    forecaster.restore({})
    again = forecaster.handle(entries_of(VALUES[LEARNED:42], first=LEARNED), BEGUN_MS + 42 * HOUR_MS)
    assert result.states == again.states


@pytest.mark.parametrize("begun", [35, 38, 40, 44])
def test_a_first_model_completes_the_window_of_a_series_that_runs(begun: int) -> None:
    """Rows of the history come before those that the worker has read, unless some are missing between."""
    forecaster = Forecaster(forecaster_with()._settings)
    answers_to(forecaster, VALUES[begun:46], first=begun)
    forecaster.set_model("a", 1, model())
    assert VALUES[20 if begun <= LEARNED else begun : 46].tolist() == window_of(forecaster)
    (first,) = answers_to(forecaster, VALUES[46:47], first=46)
    assert ("lstm" if begun <= LEARNED else "naive") == first.kind
    assert VALUES[20 if begun <= LEARNED else begun : 47].tolist() == window_of(forecaster)


def test_a_first_model_brings_the_features_that_the_window_lacks() -> None:
    """Rows that are newer than the history have its last value; without that the network could not answer."""
    others = np.arange(60.0)
    forecaster = forecaster_with()
    answers_to(forecaster, VALUES[10:42], first=10)
    forecaster.set_model("a", 1, model(features=("value", "wind"), others=others))
    rows = forecaster.states["a"].window.rows
    assert VALUES[20:42].tolist() == rows[:, 0].tolist()
    assert [*others[20:40], 39, 39] == rows[:, 1].tolist()


def test_a_window_that_is_long_enough_stays() -> None:
    """A later model changes no row."""
    forecaster = forecaster_with()
    answers_to(forecaster, VALUES[10:42], first=10)
    forecaster.set_model("a", 1, model())
    assert VALUES[10:42].tolist() == window_of(forecaster)
