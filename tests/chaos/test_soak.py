"""The short version of the soak run."""

from pathlib import Path

from tests.chaos.soak import soak


def test_a_steady_stream_is_answered_whole_in_flat_memory(tmp_path: Path) -> None:
    """Every reading has a disposition, and the worker does not grow."""
    report = soak(tmp_path, seconds=6, rate=200)
    assert report.readings == report.answered > 0
    assert report.growth_mb < 20
