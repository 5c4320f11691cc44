"""The weights of experts are grouped for pictures."""

import numpy as np

from tidecast.models.experts import EXPERTS
from tidecast.pictures.colours import LIGHT
from tidecast.pictures.weights import areas


def weights(*means: float) -> np.ndarray:
    """Return the weights of two readings with these means for the first experts."""
    row = np.array([*means, *np.zeros(len(EXPERTS) - len(means))])
    return np.stack([row, row])


def test_the_largest_come_first_and_small_ones_together_at_the_end() -> None:
    """At most five are named; their weights still add up to one."""
    grouped = areas(weights(0.02, 0.3, 0.05, 0.25, 0.15, 0.12, 0.1, 0.01))
    assert [1, 3, 4, 5, 6, None] == [area.expert for area in grouped]
    assert ["seasonal naive", "linear", "other"] == [grouped[i].name for i in (0, 2, -1)]
    np.testing.assert_allclose([1, 1], sum(area.weights for area in grouped))


def test_without_small_ones_there_is_no_group() -> None:
    """Experts without any weight are left out."""
    assert [1, 0] == [area.expert for area in areas(weights(0.4, 0.6))]


def test_an_expert_has_the_same_colour_in_every_picture() -> None:
    """Whatever its place in the stack is."""
    first, second = areas(weights(0.4, 0.6))
    swapped = areas(weights(0.6, 0.4))
    assert [second.colour(LIGHT), first.colour(LIGHT)] == [area.colour(LIGHT) for area in swapped]
    assert LIGHT.other == areas(weights(0.99, 0.01))[1].colour(LIGHT)
