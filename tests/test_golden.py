"""The golden replay, which shows that a change of the code changes no byte of the worker's output."""

from pathlib import Path

from tests.golden import differences, replay


def test_a_replay_writes_the_same_bytes_each_time_and_a_difference_is_listed(tmp_path: Path) -> None:
    """A replay that depended on the clock or on chance could not show that a change of the code is harmless."""
    first = replay(tmp_path / "first", rows=60)
    assert differences(first, replay(tmp_path / "second", rows=60)) == []
    assert len(first["forecasts"]) > 400
    changed = {**first, "dead": first["dead"][1:]}
    assert differences(first, changed)[0] == f"dead: {len(first['dead'])} rows before, {len(first['dead']) - 1} now"
