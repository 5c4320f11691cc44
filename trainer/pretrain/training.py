"""Train the network on synthetic series that are drawn while it learns: no window is used twice.

The network answers after every row of a window, so one pass over a window trains it for all lengths of history. Its
inputs at a row depend on this row and those before it; only the scale is that of the whole window.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tidecast.arrays import Float32
from tidecast.models.pretrained.shape import CHANNELS, WINDOW
from trainer.fit.backend import keras, tf
from trainer.fit.keras_models import Weights, initial_weights
from trainer.pretrain import synthetic
from trainer.pretrain.examples import SyntheticWindows, cut
from trainer.pretrain.recipe import Recipe

LARGEST_GRADIENT = 1.0  # in norm, of each weight matrix

Progress = Callable[[int, float], None]  # takes the number of windows and the mean loss since the last call


def train(recipe: Recipe, progress: Progress = lambda _windows, _loss: None) -> Weights:
    """Train a network, and return its weights by the names of the recipe's spec.

    The result is the same to the last bit on one machine with the same libraries. Other processors may round sums
    differently.
    """
    network = _network(recipe)
    schedule = keras.optimizers.schedules.CosineDecay(recipe.rate, recipe.windows // recipe.batch)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=LARGEST_GRADIENT)
    optimizer.build(network.trainable_variables)
    step = _step(network, optimizer, recipe)
    done = 0
    for examples in _drawn(recipe):
        losses = []
        for first in range(0, len(examples) - recipe.batch + 1, recipe.batch):
            if done >= recipe.windows:
                break
            losses.append(step(*(part[first : first + recipe.batch] for part in examples)))
            done += recipe.batch
        progress(done, float(np.mean(losses)))
        if done >= recipe.windows:
            break
    return dict(zip(recipe.spec.shapes(), network.get_weights(), strict=True))


def _network(recipe: Recipe) -> Any:
    """Build the network that answers at every position: `(batch, window, channels)` to `(batch, window, 1)`."""
    network = keras.Sequential(
        [
            keras.Input((WINDOW, CHANNELS)),
            keras.layers.LSTM(recipe.units, return_sequences=True),
            keras.layers.Dense(recipe.hidden, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    network.set_weights(list(initial_weights(recipe.spec, recipe.seed).values()))
    return network


def _step(network: Any, optimizer: Any, recipe: Recipe) -> Callable[[Float32, Float32, Float32], float]:
    """Return a function that takes a batch, trains on it and returns its loss, the mean absolute error."""
    share = np.ones(WINDOW, np.float32)
    share[-1] = recipe.newest
    share /= share.mean()
    variables = network.trainable_variables

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def compiled(x: Any, targets: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(network(x)[..., 0] - targets) * weights * share)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return lambda x, targets, weights: float(compiled(x, targets, weights))


def _drawn(recipe: Recipe) -> Iterator[SyntheticWindows]:
    """Yield new examples without end; the next ones are drawn on another thread meanwhile."""

    def draw(number: int) -> SyntheticWindows:
        rng = np.random.default_rng((recipe.seed, number))
        return cut(rng, synthetic.draw(rng, recipe.series, recipe.rows), recipe.windows_each)

    with ThreadPoolExecutor(1) as beside:
        number = 0
        following = beside.submit(draw, number)
        while True:
            examples = following.result()
            number += 1
            following = beside.submit(draw, number)
            yield examples
