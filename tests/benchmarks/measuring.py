"""Run a benchmark as the command line does."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main


def figures_of(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, float]:
    """Return the figures of a run, all of them finite; everything before the last line is for people."""
    main([*command, "--json"])
    figures: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert [] == [name for name, value in figures.items() if not math.isfinite(value)]
    return figures


def write_hours(path: Path, readings: int, series: int = 2) -> None:
    """Write hourly series with a day and noise."""
    hour = np.arange(readings)
    moments = np.datetime64("2024-01-01T00") + hour
    values = 50 + 10 * np.sin(2 * np.pi * hour / 24) + np.random.default_rng(0).normal(size=(series, readings))
    rows = [f"s{n},{at},{y:.3f}" for n in range(series) for at, y in zip(moments, values[n], strict=True)]
    path.write_text("\n".join(["series,timestamp,value", *rows]) + "\n")
