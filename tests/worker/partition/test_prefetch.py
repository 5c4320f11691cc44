"""Prefetched readings are handed out once, in order, and only where they follow the last one."""

import threading
from contextlib import suppress

import hypothesis
import pytest
from hypothesis import strategies as st

from tidecast.online.batch import Entry
from worker.partition.prefetch import Prefetcher

BATCH = 3


class Readings:
    """A stream of entries 1, 2, 3... that records each read."""

    def __init__(self, count: int) -> None:
        self.entries: list[Entry] = [(f"{n}-0", {}) for n in range(1, count + 1)]
        self.reads: list[tuple[str, int | None, bool]] = []  # after which id, how long to wait, whether on a thread
        self.broken = False

    def read(self, last: str, block_ms: int | None) -> tuple[list[Entry], bool]:
        """Return the entries after an id."""
        self.reads.append((last, block_ms, threading.current_thread() is not threading.main_thread()))
        if self.broken:
            raise ConnectionError("away")
        after = int(last.removesuffix("-0"))
        entries = self.entries[after : after + BATCH]
        return entries, len(entries) == BATCH


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.integers(0, 40), st.data())
def test_whoever_reads_on_gets_every_entry_once_and_in_order(count: int, data: st.DataObject) -> None:
    """This holds however many entries of a batch were taken before the next read."""
    readings = Readings(count)
    prefetcher = Prefetcher(readings.read)
    taken = list[Entry]()
    while len(taken) < count:
        entries = prefetcher.read(taken[-1][0] if taken else "0-0", None)
        if data.draw(st.booleans()):
            prefetcher.go_on()
        taken += entries[: data.draw(st.integers(1, len(entries)))]
    assert readings.entries == taken


def test_the_batch_after_a_full_one_is_read_on_a_thread_and_no_other() -> None:
    """Where readings come slowly, no caller waits for a thread, and no read is started in vain."""
    readings = Readings(4)
    prefetcher = Prefetcher(readings.read)
    assert readings.entries[:3] == prefetcher.read("0-0", 7)
    assert 1 == len(readings.reads)
    prefetcher.go_on()
    assert readings.entries[3:] == prefetcher.read("3-0", 7)
    prefetcher.go_on()
    assert [("0-0", 7, False), ("3-0", None, True)] == readings.reads
    assert [] == prefetcher.read("4-0", 7)
    assert ("4-0", 7, False) == readings.reads[-1]
    assert 3 == len(readings.reads)


def test_where_nothing_was_there_ahead_it_is_read_again() -> None:
    """Readings may have come since, and are waited for."""
    readings = Readings(3)
    prefetcher = Prefetcher(readings.read)
    prefetcher.read("0-0", None)
    prefetcher.go_on()
    assert [] == prefetcher.read("3-0", 7)
    assert [("3-0", None, True), ("3-0", 7, False)] == readings.reads[1:]


def test_a_failure_ahead_is_forgotten_and_one_that_lasts_is_raised() -> None:
    """The error is raised by the caller's own read."""
    readings = Readings(9)
    prefetcher = Prefetcher(readings.read)
    readings.broken = True
    with pytest.raises(ConnectionError):
        prefetcher.read("0-0", None)
    readings.broken = False
    prefetcher.read("0-0", None)
    prefetcher.go_on()
    readings.broken = True  # whether or not the next batch was read by now
    with suppress(ConnectionError):
        prefetcher.read("3-0", None)
    readings.broken = False
    assert readings.entries[3:6] == prefetcher.read("3-0", None)
