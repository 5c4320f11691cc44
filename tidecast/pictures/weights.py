"""The experts' weights in a forecast, grouped for a picture: the large ones by name, the small ones together."""

from dataclasses import dataclass

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS
from tidecast.pictures.colours import Theme

MOST_NAMED = 5  # experts: more areas cannot be told apart
LEAST_NAMED = 0.03  # a smaller mean weight is too thin to see
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Area:
    """The weights of one expert, or of all small ones together.

    Attributes:
        expert: its place in `EXPERTS`; None: the small ones.
        weights: `(rows,)`.
    """

    expert: int | None
    weights: Float

    @property
    def name(self) -> str:
        """Return the name in a legend."""
        return OTHER if self.expert is None else expert_name(self.expert)

    def colour(self, theme: Theme) -> str:
        """Return the colour, always the same for the same expert."""
        return theme.other if self.expert is None else theme.experts[self.expert]


def areas(weights: Float) -> list[Area]:
    """Group the experts' weights, `(rows, experts)`: the largest mean weight is first, the small ones are last."""
    mean = weights.mean(axis=0)
    order = [i for i in np.argsort(-mean, kind="stable").tolist() if mean[i] > 0]
    named = [i for i in order if mean[i] >= LEAST_NAMED][:MOST_NAMED]
    small = order[len(named) :]
    grouped = [Area(i, weights[:, i]) for i in named]
    return [*grouped, Area(None, weights[:, small].sum(axis=1))] if small else grouped


def expert_name(i: int) -> str:
    """Return an expert's name for people."""
    return EXPERTS[i].replace("_", " ")
