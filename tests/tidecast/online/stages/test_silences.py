"""Silences by the rhythm in which the readings of a series arrive."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.tidecast.online.harness import BEGUN_MS
from tidecast.online.batch import Entry
from tidecast.online.forecaster import Forecaster
from tidecast.settings import SeriesSettings

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000


def live_entries(gaps_ms: Sequence[int]) -> list[Entry]:
    """Return readings that arrive when they are measured, so much later than the one before each."""
    times = (BEGUN_MS + np.cumsum(gaps_ms)).tolist()
    values = np.random.default_rng(0).normal(size=len(times)).tolist()
    return [
        (f"{ts}-0", {b"series": b"a", b"ts": b"%d" % ts, b"value": repr(value).encode()})
        for ts, value in zip(times, values, strict=True)
    ]


def silences(gaps_ms: Sequence[int]) -> list[int]:
    """Return the readings that ended a silence."""
    entries = live_entries(gaps_ms)
    now_ms = int(entries[-1][0].removesuffix("-0"))
    events = Forecaster(SeriesSettings()).handle(entries, now_ms).events
    ids = [entry_id for entry_id, _ in entries]
    return [ids.index(str(event.facts["reading"])) for event in events if event.kind == "back"]


@pytest.mark.parametrize(
    ("before", "after", "most"),
    [(10 * SECOND, MINUTE, 3), (SECOND, HOUR, 10), (MINUTE, 10 * SECOND, 0)],
)
def test_a_slower_rhythm_is_learned_after_a_few_silences(before: int, after: int, most: int) -> None:
    """A sensor that is set to a longer period would otherwise be reported with each reading, for ever."""
    ended = silences([before] * 200 + [after] * 200)
    assert len(ended) <= most
    assert all(200 <= reading < 220 for reading in ended)


def test_packets_of_readings_are_a_rhythm_too() -> None:
    """Five readings in a minute, then five minutes without one: only the first pauses are silences."""
    assert len(silences([*[10 * SECOND] * 5, 5 * MINUTE] * 50)) < 10


def test_each_true_silence_is_reported() -> None:
    """Silences of five minutes to three hours, with two hours of readings a minute apart between them."""
    gaps = [MINUTE] * 2400
    failed = list(range(200, 2400, 120))
    for i, reading in enumerate(failed):
        gaps[reading] = (5 + 10 * i) * MINUTE
    assert silences(gaps) == failed


def test_a_sensor_that_fails_again_soon_after_a_silence_is_reported() -> None:
    """The first silence makes the next one count later, but not much: after seven steps at most."""
    for first in (HOUR, 100 * HOUR):
        assert silences([MINUTE] * 200 + [first] + [MINUTE] * 3 + [7 * MINUTE] + [MINUTE] * 3) == [200, 204]
