"""The histories of a shard as a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.trainer.harness import history
from tidecast.models.known.inputs import KnownSeries, SpecialDays
from tidecast.models.known.values import KnownValues
from trainer.runs.parts import encoded_part, read_part


def test_histories_come_back_bit_by_bit(tmp_path: Path) -> None:
    """Also with several features, gaps, gross errors that were left out, and what is known ahead of them.

    The same ones give the same file.
    """
    wide = history("wide", 50, features=("load", "wind"))
    wide.values[3, 1] = np.nan
    values = KnownValues()
    values.add("w*", "price", wide.ts[1:4], np.array([1.0, 2.0, 3.0]), wide.ts[:3])
    values.add("other", "price", wide.ts[1:2], np.ones(1))
    special = SpecialDays((3, 5), 1, 9, ((0, 3600),))
    known = KnownSeries("wide", values, special, ("@holiday",))
    given = [history("a"), replace(wide, left_out=wide.ts[4:6], known=known), history("ü")]
    path = tmp_path / "part"
    path.write_bytes(encoded_part(given))
    assert path.read_bytes() == encoded_part(given)
    for before, after in zip(given[1:], read_part(path, 1, 3), strict=True):
        assert (before.series, before.features) == (after.series, after.features)
        for name in ("ts", "values", "left_out"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    wide, plain = read_part(path, 1, 3)
    assert plain.known is None
    assert wide.known is not None
    assert (special, ("price", "@holiday")) == (wide.known.special, wide.known.names)
    for before, after in zip(values.of("wide"), wide.known.values.of("wide"), strict=True):
        assert before[:2] == after[:2]
        np.testing.assert_array_equal(np.array(before[2:]), np.array(after[2:]))
