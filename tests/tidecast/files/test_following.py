"""A pipe is followed: its lines are given out when nothing more comes for a moment, not at its end."""

import gzip
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.patience import PATIENCE_S
from tidecast.errors import HistoryError
from tidecast.files.following import follow
from tidecast.files.history import Histories
from tidecast.files.layout import Selection
from tidecast.files.pipe import MOST_BYTES, descriptor_of

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
HEADER = "series,timestamp,value\n"


class Pipe:
    """A pipe whose batches are read one by one, as they come."""

    def __init__(self, **columns: Any) -> None:
        self.reading, self.writing = os.pipe()
        self.batches = follow(self.reading, "-", Selection(**columns, all_by_default=True))

    def write(self, text: str | bytes) -> None:
        """Write to the pipe."""
        os.write(self.writing, text.encode() if isinstance(text, str) else text)

    def close(self) -> None:
        """Close the writer's end."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def next(self) -> list[tuple[str, int, list[float]]]:
        """Return the readings of the next batch: series, day of 2024 and values."""
        return flat(next(self.batches))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a shorter moment than a user: lines that are written at once come at once."""
    monkeypatch.setattr("tidecast.files.pipe.PAUSE_S", 0.02)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """An open pipe."""
    pipe = Pipe()
    yield pipe
    pipe.close()
    os.close(pipe.reading)


def flat(histories: Histories) -> list[tuple[str, int, list[float]]]:
    """Return readings with the number of their day of 2024."""
    first = 1_704_067_200_000
    return [
        (history.series, 1 + (ts - first) // DAY_MS, values)
        for history in histories.accepted
        for ts, values in zip(history.ts.tolist(), history.values.tolist(), strict=True)
    ]


def test_a_line_is_given_out_while_the_pipe_is_open(pipe: Pipe) -> None:
    """The writer may never end, so no line waits for its end."""
    pipe.write(f"{HEADER}a,2024-01-01,1\n")
    assert [("a", 1, [1.0])] == pipe.next()
    pipe.write("a,2024-01-02,2\nb,2024-01-02,3\n")
    assert [("a", 2, [2.0]), ("b", 2, [3.0])] == pipe.next()


def test_a_part_of_a_line_waits_for_its_rest(pipe: Pipe) -> None:
    """Half a number is not a number."""
    pipe.write(f"{HEADER}a,2024-01-01,1\na,2024-01-02,2")
    assert [("a", 1, [1.0])] == pipe.next()
    pipe.write("5\n")
    assert [("a", 2, [25.0])] == pipe.next()


def test_the_last_line_needs_no_line_break(pipe: Pipe) -> None:
    """As in a file."""
    pipe.write(f"{HEADER}a,2024-01-01,1\n")
    assert [("a", 1, [1.0])] == pipe.next()
    pipe.write("a,2024-01-02,2")
    pipe.close()
    assert [("a", 2, [2.0])] == pipe.next()
    assert [] == list(pipe.batches)


def test_a_header_alone_waits_for_rows(pipe: Pipe) -> None:
    """The first rows define the columns."""
    pipe.write(HEADER)
    assert [] == pipe.next()
    pipe.write("a,2024-01-01,1\n")
    assert [("a", 1, [1.0])] == pipe.next()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"a,2024-01-02,broken", "row 3 of standard input: value 'broken' is not a number"),
        (b"a,soon,1", "row 3 of standard input: timestamp 'soon' is not a time"),
        (b"a,20240102,1", "row 3 of standard input: timestamp '20240102' looks like a date: write 2024-01-02"),
        (
            b"a,2024-01-02T00:00Z,1",
            "'2024-01-02T00:00Z' is ISO-8601 with offset, but the first time is ISO-8601 without",
        ),
        (b"a,2024-01-02", "row 3 of standard input has 2 fields, the header 3"),
        (b'a,"2024-01-02,1', "row 3 of standard input opens a quote"),
        (b"a,2024-01-02,\xff", "row 3 of standard input is not UTF-8"),
        (b"a,2024-01-02,1\0", "row 3 of standard input holds a NUL byte"),
        (b",2024-01-02,1", "row 3 of standard input has no name in column 'series'"),
    ],
)
def test_a_bad_line_costs_itself_alone(pipe: Pipe, line: bytes, sentence: str) -> None:
    """The lines around it are on the stream already, or follow: only this one is refused, and named."""
    pipe.write(f"{HEADER}a,2024-01-01,1\n")
    next(pipe.batches)
    pipe.write(line + b"\na,2024-01-03,3\nb,2024-01-03,4\n")
    histories = next(pipe.batches)
    assert [("a", 3, [3.0]), ("b", 3, [4.0])] == flat(histories)
    (refusal,) = histories.refused
    assert sentence in refusal.reason


def test_local_times_of_a_pipe_follow_the_clock_over_its_change(pipe: Pipe) -> None:
    """Each line comes alone: only the line before shows that the clock was set back."""
    pipe.batches = follow(pipe.reading, "-", Selection(), "Europe/Berlin")
    hours = []
    for line in (
        HEADER,
        "a,2024-10-27 02:10,1",
        "a,2024-10-27 02:50,2",
        "a,2024-10-27 02:20,3",
        "a,2024-10-27 02:50,4",
    ):
        pipe.write(line.strip() + "\n")
        hours += [history.ts[0] % DAY_MS / HOUR_MS for history in next(pipe.batches).accepted]
    np.testing.assert_allclose([0 + 1 / 6, 0 + 5 / 6, 1 + 1 / 3, 1 + 5 / 6], hours)


def test_a_pipe_that_ends_at_once_is_read_as_a_file(pipe: Pipe) -> None:
    """`cat file | tidecast push -` refuses a whole series for a bad cell, as every other command does."""
    pipe.write(f"{HEADER}a,2024-01-01,1\na,2024-01-02,x\nb,2024-01-01,1\n")
    pipe.close()
    (histories,) = pipe.batches
    assert [("b", 1, [1.0])] == flat(histories)
    assert ["a"] == [refusal.series for refusal in histories.refused]


def test_a_pipe_may_be_gzip(pipe: Pipe) -> None:
    """A compressor that flushes is followed as well."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(f"{HEADER}a,2024-01-01,1\n".encode())
        file.flush()
        pipe.write(packed.getvalue())
        sent = len(packed.getvalue())
        assert [("a", 1, [1.0])] == pipe.next()
        file.write(b"a,2024-01-02,2\n")
    pipe.write(packed.getvalue()[sent:])
    pipe.close()
    assert [("a", 2, [2.0])] == [row for histories in pipe.batches for row in flat(histories)]


def test_gzip_that_was_cut_short_is_an_error(pipe: Pipe) -> None:
    """Its end is missing, and the amount is unknown."""
    pipe.write(gzip.compress(f"{HEADER}a,2024-01-01,1\n".encode())[:-3])
    pipe.close()
    with pytest.raises(HistoryError, match="cut short"):
        list(pipe.batches)


def test_a_flood_is_given_out_in_batches(pipe: Pipe) -> None:
    """A program that never pauses cannot keep its readings waiting for its end."""
    line = b"a,2024-01-01,1\n"
    flood = HEADER.encode() + line * (3 * MOST_BYTES // len(line))
    writer = threading.Thread(target=write_all, args=(pipe.writing, flood))
    writer.start()
    assert [("a", 1, [1.0])] == pipe.next()
    assert writer.is_alive()  # its last lines do not fit into the pipe
    while writer.is_alive():
        pipe.next()


def write_all(descriptor: int, data: bytes) -> None:
    """Write more than fits into a pipe at once."""
    while data:
        data = data[os.write(descriptor, data) :]


def test_several_series_that_are_taken_for_one_are_noticed(pipe: Pipe) -> None:
    """A pipe of five shops without a named series column ends in an error that names it."""
    pipe.write("Store,Date,Sales\n1,2024-01-01,10\n")
    next(pipe.batches)
    rows = [f"{shop},2024-01-{day:02},{shop * day}" for day in range(2, 8) for shop in range(1, 6)]
    pipe.write("\n".join(rows) + "\n")
    with pytest.raises(HistoryError, match="column 'Store' distinguishes the rows"):
        next(pipe.batches)


def test_ctrl_c_gives_out_the_whole_lines_that_came(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines are not lost; half a line is not a reading."""
    pipe.write(f"{HEADER}a,2024-01-01,1\n")
    next(pipe.batches)
    pipe.write("a,2024-01-02,2\na,2024-01-03")
    waits = iter([([pipe.reading], [], [])])  # the lines come, and then Ctrl+C

    def select(*_: Any) -> Any:
        try:
            return next(waits)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("tidecast.files.pipe.select.select", select)
    assert [("a", 2, [2.0])] == pipe.next()
    with pytest.raises(KeyboardInterrupt):
        pipe.next()


def test_ctrl_c_before_anything_came_is_no_broken_file(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who changes their mind gets no message about a blank header."""

    def select(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("tidecast.files.pipe.select.select", select)
    with pytest.raises(KeyboardInterrupt):
        pipe.next()


def test_a_named_pipe_is_a_pipe_and_a_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that stands for standard input is read as a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file.csv").write_text(HEADER)
    writer = threading.Thread(target=lambda: os.close(os.open(tmp_path / "pipe", os.O_WRONLY)))
    writer.start()
    descriptor = descriptor_of(str(tmp_path / "pipe"))
    writer.join(PATIENCE_S)
    assert descriptor is not None
    os.close(descriptor)
    assert descriptor_of(str(tmp_path / "file.csv")) is None
    with (tmp_path / "file.csv").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert descriptor_of("-") is None
    monkeypatch.setattr(sys, "stdin", None)
    assert descriptor_of("-") is None
