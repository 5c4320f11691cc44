"""The histories of a shard as a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.trainer.harness import history
from trainer.runs.parts import encoded_part, read_part


def test_histories_come_back_bit_by_bit(tmp_path: Path) -> None:
    """Also with several features, gaps and gross errors that were left out; the same ones give the same file."""
    wide = history("wide", 50, features=("load", "wind"))
    wide.values[3, 1] = np.nan
    given = [history("a"), replace(wide, left_out=wide.ts[4:6]), history("ü")]
    path = tmp_path / "part"
    path.write_bytes(encoded_part(given))
    assert path.read_bytes() == encoded_part(given)
    for before, after in zip(given[1:], read_part(path, 1, 3), strict=True):
        assert (before.series, before.features) == (after.series, after.features)
        for name in ("ts", "values", "left_out"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
