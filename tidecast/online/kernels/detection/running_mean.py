"""Running means of sizes, which one outlier cannot move far."""

from tidecast.online.kernels.decorators import part_exactly

USUAL = 1000.0  # readings in a running mean at most
CUT = 5.0  # means: a larger size counts as this many


@part_exactly
def running_mean(mean: float, size: float, n: float) -> float:
    """Return the running mean with one more size, the n-th, which is cut once the mean is known."""
    return mean + (min(size, CUT * mean if mean > 0 else size) - mean) / n
