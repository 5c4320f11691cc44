"""Count the series by their condition, a few at each step: all at once would delay a batch."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from tidecast.online.series.condition import state_of
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.online.series.state import SeriesState

AT_ONCE = 100  # series of a step
EVERY_S = 5.0  # between the starts of two counts


class Census:
    """A count of the series by `SERIES_STATES`, which goes on from step to step.

    Args:
        states: returns the states of the series, by partition.
    """

    def __init__(self, states: Callable[[], Iterable[Mapping[str, SeriesState]]]) -> None:
        self._states = states
        self._left: Iterator[SeriesState] | None = None
        self._counts: Counter[str] = Counter()
        self._began_at = -EVERY_S

    def step(self, now: float) -> dict[str, int] | None:
        """Count some more series; return the numbers of all once every series was counted.

        Args:
            now: seconds of a clock that never runs backwards.
        """
        if self._left is None:
            if now - self._began_at < EVERY_S:
                return None
            self._began_at = now
            self._left = iter([state for partition in self._states() for state in partition.values()])
            self._counts.clear()
        counted = [state_of(state) for state in itertools.islice(self._left, AT_ONCE)]
        self._counts.update(counted)
        if len(counted) == AT_ONCE:
            return None
        self._left = None
        return {name: self._counts[name] for name in SERIES_STATES}
