"""Series are counted by their condition, some at each step."""

from typing import Any

import pytest

from tidecast.online.series.condition_names import SERIES_STATES
from worker import census
from worker.census import AT_ONCE, EVERY_S, Census


def test_all_series_of_all_partitions_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step takes long, and the numbers are those of one count."""
    conditions: list[Any] = ["ok"] * AT_ONCE + ["stuck"] * 3
    monkeypatch.setattr(census, "state_of", str)
    partitions = [dict(enumerate(conditions[:100])), dict(enumerate(conditions[100:]))]
    counting = Census(lambda: partitions)
    none = dict.fromkeys(SERIES_STATES, 0)
    assert counting.step(0.0) is None
    assert none | {"ok": AT_ONCE, "stuck": 3} == counting.step(0.1)
    assert counting.step(EVERY_S - 0.1) is None
    partitions[:] = [{}]
    assert none == counting.step(EVERY_S)
