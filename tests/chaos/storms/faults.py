"""The faults of a storm: how often each comes, how long it lasts, and what it can bring about."""

import random
from collections.abc import Mapping

from tests.chaos.faults.refusals import REFUSALS

# Kills come in a stream of their own beside the other faults; seconds from one to the next.
KILL_GAP_S = (0.8, 1.8)
FAULT_GAP_S = (0.3, 1.3)
STOP_LEASES = (1.2, 2.7)  # how many leases long a worker sleeps
REFUSAL_S = (0.5, 2.0)  # how long Redis refuses to write
BUSY_S = (0.3, 0.6)  # how long it does nothing at all
KILLS = {"kill a worker": 1, "kill a worker at a named point": 1}  # how often each comes in a round
FAULTS = {
    "stop a worker beyond its lease": 4,
    "kill Redis": 1,
    "drop a reply": 12,
    "delay": 2,
    "half-close": 1,
    "split": 2,
    "SCRIPT FLUSH": 1,
    **dict.fromkeys(REFUSALS, 1),
}
ON_THE_WIRE = {  # the proxy's faults for each
    "drop a reply": ("drop_reply",),
    "delay": ("delay_request", "delay_reply"),
    "half-close": ("half_close_server", "half_close_client"),
    "split": ("split_request", "split_reply"),
}
# What a fault can bring about: an event counts for the newest fault that can have been its cause.
REFUSED = ("kill Redis", *REFUSALS)
BITES = {
    "fenced": ("stop a worker beyond its lease", "delay", *REFUSED),
    "conflicts": ("drop a reply", "delay", "half-close", *REFUSED),
    "takeovers": (*KILLS, "stop a worker beyond its lease", "delay", *REFUSED),
    "replayed": ("kill Redis", "drop a reply", "delay", "half-close", "BUSY"),
}


class Deck:
    """Faults in random order: first each of them once, then round after round as often as each is worth."""

    def __init__(self, rng: random.Random, times: Mapping[str, int]) -> None:
        self._rng = rng
        self._times = times
        self._cards = rng.sample(list(times), len(times))

    def draw(self) -> str:
        """Draw the next one."""
        if not self._cards:
            self._cards = [name for name, times in self._times.items() for _ in range(times)]
            self._rng.shuffle(self._cards)
        return self._cards.pop()
