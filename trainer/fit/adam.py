"""The Adam optimiser (Kingma & Ba 2015) as Keras sets it, for many models at once."""

from typing import Any, NamedTuple

BETA_1 = 0.9  # share of the mean gradient that a step keeps
BETA_2 = 0.999  # share of the mean square that a step keeps
EPSILON = 1e-7


class AdamState(NamedTuple):
    """The state that training updates: the weights of models and the moments of their gradients."""

    weights: Any  # (models, parameters)
    first: Any  # (models, parameters): running mean of the gradient
    second: Any  # (models, parameters): running mean of its square
    steps: Any  # (models,): how many steps the model has taken


def adam(state: AdamState, gradient: Any, on: Any, rates: Any, library: Any) -> AdamState:
    """Take one step for every model that is `on`; the others keep weights, moments and step count.

    Args:
        state: arrays of NumPy or tensors of TensorFlow.
        gradient: `(models, parameters)`.
        on: `(models,)` 1 or 0.
        rates: `(models,)` the learning rates.
        library: the module `numpy` or `tensorflow`, which the arrays come from.
    """
    steps = state.steps + on
    known = library.maximum(steps, 1)
    rate = on * rates * library.sqrt(1 - BETA_2**known) / (1 - BETA_1**known)
    first = state.first + (gradient - state.first) * (on * (1 - BETA_1))[:, None]
    second = state.second + (library.square(gradient) - state.second) * (on * (1 - BETA_2))[:, None]
    weights = state.weights - first * rate[:, None] / (library.sqrt(second) + EPSILON)
    return AdamState(weights, first, second, steps)
