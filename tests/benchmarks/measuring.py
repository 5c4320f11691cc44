"""Run a benchmark as the command line does."""

import json
import math

import pytest

from benchmarks.__main__ import main


def figures_of(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, float]:
    """Return the figures of a run, all of them finite; everything before the last line is for people."""
    main([*command, "--json"])
    figures: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert [] == [name for name, value in figures.items() if not math.isfinite(value)]
    return figures
