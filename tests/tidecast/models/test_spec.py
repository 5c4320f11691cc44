"""The shapes that a network may have."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tidecast.models.inputs import rows_read
from tidecast.models.pretrained.network import shipped, spec_of
from tidecast.models.pretrained.shape import CHANNELS
from tidecast.models.spec import Spec

TUNED = spec_of(shipped().weights, "load")


def test_a_network_tuned_from_the_pretrained_one_has_its_shapes_and_inputs() -> None:
    """So a worker can prepare its rows in the same way."""
    assert {name: part.shape for name, part in shipped().weights.items()} == TUNED.shapes()
    assert (TUNED.target, TUNED.channels, TUNED.least_rows) == ("load", CHANNELS, 4)


@pytest.mark.parametrize(
    "other",
    [{"window": 48}, {"seasonal": 1}, {"layers": 2}, {"features": ("load", "wind")}, {"calendar": ("day",)}],
    ids=str,
)
def test_one_with_other_inputs_is_refused(other: dict[str, Any]) -> None:
    """The sentence names what differs."""
    with pytest.raises(ValidationError, match=f"tuned from the pretrained one has another {next(iter(other))}"):
        Spec.model_validate(TUNED.model_dump() | other)


@pytest.mark.parametrize(("seasons", "rows"), [((0, 0), 128), ((24, 0), 128), ((24, 168), 200), ((52, 0), 136)])
def test_it_reads_the_window_and_the_rows_of_the_longest_season_before(seasons: tuple[int, int], rows: int) -> None:
    """Without a second season it reads the first one twice."""
    assert rows == rows_read(TUNED, np.array(seasons))
