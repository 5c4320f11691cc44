"""Models made by hand: random weights, no training."""

import numpy as np

from tidecast.model import Evidence, Header, Model, Scores, Spec


def make_model(series: str, spec: Spec | None = None, *, seed: int = 0, step_ms: float = 1000.0) -> Model:
    """A model with random weights of a trained network's size."""
    spec = spec or Spec(window=6, units=5)
    rng = np.random.default_rng(seed)
    weights = {
        name: (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32) for name, shape in spec.shapes().items()
    }
    width = len(spec.features)
    header = Header(
        series=series,
        spec=spec,
        step_ms=step_ms,
        center=(0.0,) * width,
        scale=(1.0,) * width,
        level=0.9,
        half_width=2.0,
        span=(0, 1_000_000),
        evidence=Evidence(
            rows=10, season=None, scores={"model": Scores(mae=0.5, rmse=0.7)}, skill=0.5, verdict="published"
        ),
    )
    return Model(header, weights)
