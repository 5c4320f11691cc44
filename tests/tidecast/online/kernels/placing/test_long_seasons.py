"""Seasons too long for a window, such as the 1,440 minutes of a day: their profiles in the worker's own code."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.harness.states import all_fields, whole
from tests.tidecast.online.harness import BEGUN_MS
from tidecast.arrays import Bools, Float, Int64
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.forecaster import Forecaster
from tidecast.online.kernels.placing.profiles import NEWEST
from tidecast.online.kernels.placing.taking import take
from tidecast.online.kernels.readings import Readings
from tidecast.online.kernels.series_rows import CALENDAR, series_rows
from tidecast.online.window import Window
from tidecast.settings import SeriesSettings
from tidecast.wire.state_format import MOST_BINS

MINUTE_MS = 60_000
DAY = 1440  # minutes
FIRST_MS = BEGUN_MS // (DAY * MINUTE_MS) * DAY * MINUTE_MS  # midnight
KEPT = 400  # rows of a window
DAYS = 14  # of the made-up sensors; the second half is scored


def window_after(y: Float, ts: Int64, step_ms: int = MINUTE_MS) -> tuple[Window, Float]:
    """Return a window without a model after these readings, and the terms of its profiles, `(readings, 2, 3)`."""
    window = Window(KEPT, 1)
    window.step_ms = step_ms
    n = len(y)
    series = series_rows(
        n,
        window=window.address,
        width=1,
        rows_read=KEPT,
        seasons=CALENDAR,
        largest_move=np.inf,
        lowest=-np.inf,
        highest=np.inf,
    )
    readings = Readings.of(np.zeros(n, np.int64), ts.copy(), ts)
    take(series, readings, np.ones(n, np.int64), y[:, None].copy(), 3, lambda _: window.hold_bins())
    return window, readings.profiles


def minutes(count: int) -> Int64:
    """Return the times of so many minutes from midnight on."""
    return FIRST_MS + MINUTE_MS * np.arange(count)


def test_a_bin_averages_its_minute_over_the_days() -> None:
    """All days count equally at first, later ones at least `NEWEST`; the newest rows are learned a block later."""
    days = 9
    y = np.random.default_rng(0).normal(size=days * DAY) + 50
    window, _ = window_after(y, minutes(len(y)))
    expected = np.zeros(DAY)
    for n, day in enumerate(y.reshape(days, DAY), 1):
        expected += max(NEWEST, 1 / n) * (day - expected)
    assert window.bins is not None
    known = window.bins[0] + window.profiles[0].reference
    np.testing.assert_allclose(known[: DAY - 70], expected[: DAY - 70], rtol=1e-6)


def test_the_terms_follow_the_profile() -> None:
    """A day without noise is known to the minute: the next change, the distance to the next value, and no drift."""
    y = np.sin(2 * np.pi * np.arange(3 * DAY) / DAY)
    y[2 * DAY :] += 1.0
    _, terms = window_after(y, minutes(len(y)))
    assert np.isnan(terms[: DAY - 1]).all()
    changes = np.diff(y[DAY:])
    np.testing.assert_allclose(np.delete(terms[DAY:-1, 0, 0], DAY - 1), np.delete(changes, DAY - 1), atol=1e-6)
    np.testing.assert_allclose(
        terms[2 * DAY + 100 : -1, 0, 1], y[DAY + 101 : 2 * DAY] - y[2 * DAY + 100 : -1], atol=1e-6
    )
    np.testing.assert_allclose(terms[2 * DAY + 100 : -1, 0, 2], 0.0, atol=1e-6)
    assert np.isnan(terms[:, 1]).all()


@pytest.mark.parametrize("step_ms", [1_000, 7_300, 60_000, 200_000])
def test_a_profile_has_a_bounded_number_of_bins(step_ms: int) -> None:
    """A day of seconds and a week of minutes have as many bins as a day of minutes, and the day is met well."""
    ts = FIRST_MS + step_ms * np.arange(2 * DAY * MINUTE_MS // step_ms)
    phase = 2 * np.pi * (ts % (DAY * MINUTE_MS)) / (DAY * MINUTE_MS)
    window, terms = window_after(np.sin(phase), ts, step_ms)
    assert window.profiles.bins.max() <= MOST_BINS
    expected = np.sin(phase + 2 * np.pi * step_ms / (DAY * MINUTE_MS)) - np.sin(phase)
    late = slice(len(ts) * 3 // 4, None)
    np.testing.assert_allclose(terms[late, 0, 0], expected[late], atol=0.02 * np.abs(expected).max() + 1e-5)


def sensor(kind: str, seed: int) -> tuple[Float, Bools]:
    """Return a made-up sensor of a plant by the minute, and which of its readings were received."""
    rng = np.random.default_rng(seed)
    n = np.arange(DAYS * DAY)
    minute = n % DAY
    works = (n // DAY) % 7 < 5
    wave = np.sin(2 * np.pi * minute / DAY) + 0.4 * np.sin(4 * np.pi * minute / DAY + 1)
    y = {
        "temperature": 20 + 3 * wave * (0.5 + 0.5 * works) + rng.normal(size=len(n)) * 0.1,
        "pressure": 8 + 0.5 * wave + 0.3 * works + 0.02 * rng.standard_t(4, size=len(n)),
        "parts": rng.poisson(np.maximum(0.2, 20 * (1 + wave) * (0.3 + 0.7 * works))).astype(np.float64),
        "motor": 20 + 30 * (works & (minute >= 360) & (minute < 1320)) + rng.normal(size=len(n)),
    }[kind]
    y += np.cumsum(rng.normal(size=len(n))) * 0.002 * y.std()  # drift
    received = rng.random(len(n)) > 0.005
    for first in rng.integers(0, len(n), 4).tolist():
        received[first : first + int(rng.integers(30, 300))] = False
    return y, received


def handled(
    forecaster: Forecaster, y: Float, received: Bools, step: int = 1, batch: int = 500
) -> Iterator[BatchResult]:
    """Handle each `step`-th minute of a sensor."""
    rows = np.flatnonzero(received[::step]) * step
    for first in range(0, len(rows), batch):
        entries = [_entry(row, y[row]) for row in rows[first : first + batch].tolist()]
        yield forecaster.handle(entries, int(entries[-1][0].partition("-")[0]))


def _entry(row: int, y: float) -> Entry:
    ts = FIRST_MS + MINUTE_MS * row
    return f"{ts}-0", {b"series": b"a", b"value": repr(float(y)).encode(), b"ts": b"%d" % ts}


def skill(y: Float, received: Bools, step: int) -> float:
    """Return the skill over the last value in the second half, of steps whose both readings were received."""
    made = [result.forecasts for result in handled(Forecaster(SeriesSettings()), y, received, step)]
    row = (np.concatenate([forecasts.origin for forecasts in made]) - FIRST_MS) // MINUTE_MS
    yhat = np.concatenate([forecasts.yhat for forecasts in made])
    scored = (row >= len(y) // 2) & (row + step < len(y)) & np.isfinite(yhat)
    scored[scored] &= received[row[scored] + step]
    after = y[row[scored] + step]
    return float(1 - np.abs(yhat[scored] - after).mean() / np.abs(y[row[scored]] - after).mean())


@pytest.mark.parametrize("kind", ["temperature", "pressure", "parts", "motor"])
def test_minutes_are_forecast_as_well_as_every_fifth(kind: str) -> None:
    """With noise, gaps and drift: a day and a week, without a model, reach 90 % of the skill at five minutes."""
    y, received = sensor(kind, seed=1)
    assert skill(y, received, 1) >= 0.9 * skill(y, received, 5) > 0.05


def test_restarts_and_batches_change_no_bit() -> None:
    """A worker that starts again after every batch, of any size, goes on as one that never stopped."""
    y, received = sensor("temperature", seed=2)
    y = y[: 3 * DAY]
    received = received[: 3 * DAY]
    steady = Forecaster(SeriesSettings())
    forecasts = [f.yhat for result in handled(steady, y, received, batch=1000) for f in result.forecasts]
    again = []
    stored = dict[str, bytes]()
    rows = np.flatnonzero(received)
    first = 0
    for size in np.random.default_rng(0).integers(1, 60, len(rows)).tolist():
        restarted = Forecaster(SeriesSettings())
        restarted.restore(stored)
        entries = [_entry(row, y[row]) for row in rows[first : first + size].tolist()]
        first += size
        if not entries:
            break
        result = restarted.handle(entries, int(entries[-1][0].partition("-")[0]))
        again += [f.yhat for f in result.forecasts]
        stored |= result.states
    assert forecasts == again
    restarted.restore(stored)
    assert whole(steady.states["a"]) == whole(restarted.states["a"])
    assert all_fields(steady.states["a"]) == all_fields(restarted.states["a"])


@pytest.mark.parametrize("step", [2, 10, 20], ids=["a day of 720", "a week of 1008", "a week of 504"])
def test_a_season_of_any_length_survives_a_restart(step: int) -> None:
    """The last block of bins is shorter than the others where the season has no whole number of blocks."""
    y, _ = sensor("temperature", seed=4)
    forecaster = Forecaster(SeriesSettings())
    stored = dict[str, bytes]()
    for result in handled(forecaster, np.tile(y, 2), np.ones(2 * len(y), np.bool_), step):
        stored |= result.states
    restarted = Forecaster(SeriesSettings())
    restarted.restore(stored)
    window = restarted.states["a"].window
    assert window.profiles.learned.max() > 0
    assert whole(forecaster.states["a"]) == whole(restarted.states["a"])
    assert all_fields(forecaster.states["a"]) == all_fields(restarted.states["a"])


def test_bins_of_a_former_profile_are_ignored() -> None:
    """After a change of the step the season has fewer rows; the blocks that are not written again stay in Redis."""
    y, received = sensor("temperature", seed=5)
    forecaster = Forecaster(SeriesSettings())
    stored = dict[str, bytes]()
    for result in handled(forecaster, y[: 2 * DAY], received[: 2 * DAY]):
        stored |= result.states
    assert MOST_BINS == forecaster.states["a"].window.profiles[0].bins
    received[: 2 * DAY] = False
    received[2 * DAY + 1 :: 2] = False
    for result in handled(forecaster, y, received):
        stored |= result.states
        restarted = Forecaster(SeriesSettings())
        restarted.restore(stored)
        assert whole(forecaster.states["a"]) == whole(restarted.states["a"])
    assert DAY // 2 == forecaster.states["a"].window.profiles[0].bins


def test_a_commit_stays_small() -> None:
    """A day and a week by the minute are known; a reading stores at most 1.5 KB on average."""
    y, received = sensor("temperature", seed=3)
    forecaster = Forecaster(SeriesSettings())
    for _ in handled(forecaster, y[: 8 * DAY], received[: 8 * DAY]):
        pass
    received[: 8 * DAY] = False
    later = slice(0, 8 * DAY + 640)
    sizes = [
        sum(map(len, result.states.values())) for result in handled(forecaster, y[later], received[later], batch=1)
    ]
    assert len(sizes) > 600
    assert np.mean(sizes) <= 1.5 * 1024
