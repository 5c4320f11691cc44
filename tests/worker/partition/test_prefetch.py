"""What is read ahead is handed out once, in order, and only where it fits."""

import threading
from contextlib import suppress

import hypothesis
import pytest
from hypothesis import strategies as st

from tidecast.online.batch import Entry
from worker.partition.prefetch import ReadAhead

BATCH = 3


class Readings:
    """A stream of entries 1, 2, 3... that knows who has read it how."""

    def __init__(self, count: int) -> None:
        self.entries: list[Entry] = [(f"{n}-0", {}) for n in range(1, count + 1)]
        self.reads: list[tuple[str, int | None, bool]] = []  # after which id, how long to wait, whether on a thread
        self.broken = False

    def read(self, last: str, block_ms: int | None) -> tuple[list[Entry], bool]:
        """The entries after an id."""
        self.reads.append((last, block_ms, threading.current_thread() is not threading.main_thread()))
        if self.broken:
            raise ConnectionError("away")
        after = int(last.removesuffix("-0"))
        found = self.entries[after : after + BATCH]
        return found, len(found) == BATCH


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.integers(0, 40), st.data())
def test_whoever_reads_on_gets_every_entry_once_and_in_order(count: int, data: st.DataObject) -> None:
    """However many of a batch were taken before the next was asked for."""
    readings = Readings(count)
    ahead, taken = ReadAhead(readings.read), list[Entry]()
    while len(taken) < count:
        entries = ahead.read(taken[-1][0] if taken else "0-0", None)
        if data.draw(st.booleans()):
            ahead.go_on()
        taken += entries[: data.draw(st.integers(1, len(entries)))]
    assert readings.entries == taken


def test_the_batch_after_a_full_one_is_read_on_a_thread_and_no_other() -> None:
    """Where readings come slowly nobody waits for a thread, and none is asked in vain."""
    readings = Readings(4)
    ahead = ReadAhead(readings.read)
    assert readings.entries[:3] == ahead.read("0-0", 7)
    assert 1 == len(readings.reads)
    ahead.go_on()
    assert readings.entries[3:] == ahead.read("3-0", 7)
    ahead.go_on()
    assert [("0-0", 7, False), ("3-0", None, True)] == readings.reads
    assert [] == ahead.read("4-0", 7)
    assert ("4-0", 7, False) == readings.reads[-1]
    assert 3 == len(readings.reads)


def test_where_nothing_was_there_ahead_it_is_read_again() -> None:
    """Readings may have come since, and are waited for."""
    readings = Readings(3)
    ahead = ReadAhead(readings.read)
    ahead.read("0-0", None)
    ahead.go_on()
    assert [] == ahead.read("3-0", 7)
    assert [("3-0", None, True), ("3-0", 7, False)] == readings.reads[1:]


def test_a_failure_ahead_is_forgotten_and_one_that_lasts_is_raised() -> None:
    """It is the caller's read that tells."""
    readings = Readings(9)
    ahead = ReadAhead(readings.read)
    readings.broken = True
    with pytest.raises(ConnectionError):
        ahead.read("0-0", None)
    readings.broken = False
    ahead.read("0-0", None)
    ahead.go_on()
    readings.broken = True  # whether or not the next batch was read by now
    with suppress(ConnectionError):
        ahead.read("3-0", None)
    readings.broken = False
    assert readings.entries[3:6] == ahead.read("3-0", None)
