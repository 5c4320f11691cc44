"""Training the pretrained network: examples of every length, weights that repeat by their seed."""

from pathlib import Path

import numpy as np
import pytest

from tidecast.models.pretrained import network as pretrained
from tidecast.models.pretrained.network import Pretrained, PretrainedHeader
from tidecast.models.pretrained.shape import LEAST_ROWS, WINDOW
from trainer.fit.keras_models import Weights
from trainer.pretrain.examples import cut
from trainer.pretrain.families import Synthetic
from trainer.pretrain.recipe import Recipe
from trainer.pretrain.scores import scores, skills
from trainer.pretrain.training import train

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pretrained.md"
TINY = Recipe(units=16, hidden=4, rows=120, series=20, windows_each=4, windows=3840, batch=32, rate=0.006)


def test_targets_are_the_next_changes_in_units_of_the_windows_scale() -> None:
    """On a straight line every change is one unit, and histories of all lengths occur."""
    lines = Synthetic(np.arange(400.0) * np.array([[1.0], [-5.0]]), np.zeros((2, 2), np.int64))
    examples = cut(np.random.default_rng(0), lines, 200)
    used = examples.weights > 0
    assert np.allclose(examples.targets[used], np.sign(examples.x[:, -1:, 0]).repeat(WINDOW, axis=1)[used])
    real = examples.x[:, :, 2].sum(axis=1)
    assert set(range(8, WINDOW)) <= set(real.astype(int))
    assert not used[:, :-1][np.cumsum(examples.x[:, :-1, 2], axis=1) < LEAST_ROWS - 1].any()


@pytest.fixture(scope="module")
def trained() -> tuple[Weights, list[float]]:
    """Train once; return the weights, and the loss of each draw of series."""
    losses: list[float] = []
    return train(TINY, lambda _windows, loss: losses.append(loss)), losses


def test_a_training_repeats_to_the_last_bit_by_its_seed(trained: tuple[Weights, list[float]]) -> None:
    """On one machine the recipe alone decides the weights."""
    weights, _ = trained
    again = train(TINY)
    assert {name: part.shape for name, part in weights.items()} == TINY.spec.shapes()
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_a_training_lowers_the_loss(trained: tuple[Weights, list[float]]) -> None:
    """A few thousand windows teach it to beat the last value."""
    _, losses = trained
    assert losses[-1] < 0.95 * losses[0]


def test_scores_compare_with_the_last_value() -> None:
    """A network without a change has skill 0, on every period and family; the shipped one has the skill it claims."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in TINY.spec.shapes().items()}
    nothing = Pretrained(PretrainedHeader(version=pretrained.VERSION, recipe={}, scores={}), weights)
    assert set(scores(nothing, 1, series=2).values()) == {0.0}
    assert scores(nothing, 1, series=2).keys() == pretrained.shipped().header.scores.keys()
    wave = np.sin(2 * np.pi * np.arange(300) / 24)[None]
    assert skills(pretrained.shipped(), Synthetic(wave, np.array([[24, 48]])), 100, 300) == pytest.approx([1], abs=0.5)


def test_the_shipped_network_is_that_of_the_recipe_and_of_its_page() -> None:
    """`make pretrain` writes the file again: no number of it was only on somebody's command line."""
    shipped = pretrained.shipped()
    assert shipped.header.recipe == Recipe().model_dump()
    assert {name: part.shape for name, part in shipped.weights.items()} == Recipe().spec.shapes()
    page = PAGE.read_text()
    rows = {name: f"| `{name}` | {skill:.3f} |".replace("0.", ".") for name, skill in shipped.header.scores.items()}
    assert [name for name, row in rows.items() if row not in page] == []
