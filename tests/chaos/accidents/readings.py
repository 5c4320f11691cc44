"""The readings that are pushed while an accident happens."""

from tests.chaos.harness import EPOCH

SERIES = 20
BROKEN_EVERY = 9  # every ninth reading is not a number; nine does not divide the series, so each of them gets some


def make_steady(count: int) -> list[dict[bytes, bytes]]:
    """Return readings of several series in turn, each in step: all are answered, some by a dead letter."""
    return [
        {
            b"series": b"series-%d" % (i % SERIES),
            b"ts": b"%d" % (EPOCH + 1000 * (i // SERIES)),
            b"value": b"none" if is_broken(i) else b"%d.5" % i,
        }
        for i in range(count)
    ]


def is_broken(number: int) -> bool:
    """Return whether the reading of this number is not a number."""
    return number % BROKEN_EVERY == BROKEN_EVERY - 1
