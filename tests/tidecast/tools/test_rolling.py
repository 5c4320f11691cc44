"""Several steps of series without a model."""

import numpy as np

from tidecast.files.history import History
from tidecast.settings import load_settings
from tidecast.tools.rolling import half_widths

HOUR = 3_600_000
SETTINGS = load_settings().series


def noisy_wave(readings: int, noise: float) -> History:
    """Return an hourly wave with noise."""
    t = np.arange(readings)
    y = 5 * np.sin(2 * np.pi * t / 24) + noise * np.random.default_rng(0).normal(size=readings)
    return History("a", ("value",), HOUR * t, y[:, None])


def test_intervals_are_as_wide_as_the_errors_of_the_past() -> None:
    """Ten times the noise makes them about ten times as wide; each step has its own."""
    calm = half_widths(noisy_wave(300, 0.05), 6, SETTINGS)
    wild = half_widths(noisy_wave(300, 0.5), 6, SETTINGS)
    assert (6,) == calm.shape
    assert 5 < (wild / calm).mean() < 20
    assert (wild[1:] > 0.3).all()


def test_a_short_history_has_no_intervals_of_further_steps() -> None:
    """Nine errors are needed for a level of .9, and readings before them."""
    assert np.isnan(half_widths(noisy_wave(30, 0.5), 6, SETTINGS)).all()
    assert np.isfinite(half_widths(noisy_wave(50, 0.5), 6, SETTINGS)).all()
