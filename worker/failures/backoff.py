"""Exponential backoff with jitter."""

import random

SHORTEST_S, LONGEST_S = 0.05, 5.0  # the pause after the first failure, and the longest one


class Backoff:
    """The pauses after consecutive failures.

    Args:
        lease_s: the length of a lease; every pause is shorter than half of it, so that no lease runs out meanwhile.
    """

    def __init__(self, lease_s: float) -> None:
        self._longest_s = min(LONGEST_S, lease_s / 2)

    def pause_s(self, failures: int) -> float:
        """Return the pause after this many consecutive failures, in seconds."""
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - workers must not retry at the same time
        return jitter * min(self._longest_s, SHORTEST_S * 2.0 ** min(failures - 1, 30))
