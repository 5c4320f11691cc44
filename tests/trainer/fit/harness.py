"""The weights of Keras models, which the tests of the fit compare."""

from typing import Any

import numpy as np

from tidecast.models.spec import Spec
from trainer.fit.keras_models import Weights


def weights_of(model: Any, spec: Spec) -> Weights:
    """Return a Keras model's weights by the names of the spec."""
    arrays = (np.asarray(array, np.float32) for array in model.get_weights())
    return dict(zip(spec.shapes(), arrays, strict=True))
