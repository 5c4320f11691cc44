"""The log: a line is JSON or text, and nothing that goes wrong in logging reaches the program."""

import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from tidecast import log
from tidecast.log import LineWriter, begin_log, lines_lost, write_line


class Unshowable:
    """A value whose text cannot be made."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError("no text")


class Pipe:
    """A pipe with a writer at one end."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream = os.fdopen(writer, "w")
        self.writer = LineWriter(self.stream)

    def fill(self) -> None:
        """Write until the pipe takes nothing more."""
        os.set_blocking(self.stream.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.stream.fileno(), b"x" * 4096)
        os.set_blocking(self.stream.fileno(), True)

    def lines(self) -> list[str]:
        """Read the content of the pipe."""
        os.set_blocking(self.reader, False)
        data = b""
        with suppress(BlockingIOError):
            while more := os.read(self.reader, 65_536):
                data += more
        return data.decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, closed at the end."""
    made = Pipe()
    yield made
    for close in (made.stream.close, lambda: os.close(made.reader)):
        with suppress(OSError):
            close()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Return the log of this process, as for a program that runs unattended."""
    former = structlog.get_config()
    monkeypatch.setattr(sys, "stderr", StringIO())
    monkeypatch.setattr(logging.root, "handlers", [])
    begin_log()
    yield sys.stderr  # type: ignore[misc] # it was put there above
    structlog.configure(**former)


def rows(logged: StringIO) -> list[dict[str, Any]]:
    """Return every line as the object that it is; strictly, without NaN."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in logged.getvalue().splitlines()]


def cycle() -> list[Any]:
    """Return a list that holds itself."""
    made: list[Any] = []
    made.append(made)
    return made


def deep() -> list[Any]:
    """Lists in lists, deeper than Python's stack."""
    made: list[Any] = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize(
    "value",
    [
        Unshowable(),
        cycle(),
        {("a", "key"): 1},
        math.nan,
        math.inf,
        "\udcff",
        b"\xff",
        {1: Unshowable()},
        deep(),
        object(),
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_makes_a_line_of_json(logged: StringIO, value: object) -> None:
    """A log line must not stop the worker because of the value that it shows; the other fields stay as they are."""
    structlog.get_logger().error("step failed", kind="redis", value=value, pause_s=0.5)
    [row] = rows(logged)
    assert ("step failed", "redis", 0.5, "error") == (row["event"], row["kind"], row["pause_s"], row["level"])


def test_an_exception_whose_text_cannot_be_made_is_logged(logged: StringIO) -> None:
    """The traceback is made while the line is; a failure there must not stop the program."""

    class StrangeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    try:
        raise StrangeError
    except StrangeError:
        structlog.get_logger().exception("step failed")
    [row] = rows(logged)
    assert "step failed" == row["event"]


def test_a_failing_part_of_the_log_still_leaves_the_event(logged: StringIO) -> None:
    """Whatever is added to the log's making later: an error in it becomes a line, and never an exception."""

    def broken(*_: object) -> dict[str, Any]:
        raise ZeroDivisionError("of a processor")

    structlog.configure(processors=[broken])
    structlog.get_logger().info("worker stopped")
    [row] = rows(logged)
    assert ("worker stopped", "ZeroDivisionError('of a processor')") == (row["event"], row["log_error"])


def test_what_libraries_log_is_json_too(logged: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """One form for all lines; a record whose text cannot be made is passed over."""
    ours = [handler for handler in logging.root.handlers if type(handler).__module__ == log.__name__]
    monkeypatch.setattr(logging.root, "handlers", ours)  # pytest's own would raise
    library = logging.getLogger("some.library")
    library.warning("pool of %d is full", 10)
    library.warning("pool of %d is full", "many")
    library.info("not for the log")
    try:
        raise ValueError("odd")
    except ValueError:
        library.exception("it failed")
    first, second = rows(logged)
    assert ("pool of 10 is full", "some.library", "warning") == (first["event"], first["logger"], first["level"])
    assert "ValueError: odd" in second["exception"]


def test_a_pipe_that_nobody_reads_does_not_block_the_program(pipe: Pipe) -> None:
    """The lines are dropped and counted, and the first one that fits reports how many are missing."""
    pipe.fill()
    for number in range(3):
        pipe.writer.write(f"line {number}")
    assert 3 == pipe.writer.lost
    pipe.lines()
    pipe.writer.write("again")
    report, line = pipe.lines()
    assert ("log lines lost", 3, "again") == (json.loads(report)["event"], json.loads(report)["count"], line)


def test_a_line_that_was_cut_does_not_spoil_the_next(pipe: Pipe) -> None:
    """A long line into a pipe that fills up on the way: the next one begins on a line of its own."""
    pipe.writer.write("x" * 1_000_000)
    assert 1 == pipe.writer.lost
    pipe.lines()
    pipe.writer.write("again")
    cut, report, line = pipe.lines()
    assert ("", "log lines lost", "again") == (cut, json.loads(report)["event"], line)


def test_a_long_line_arrives_whole(pipe: Pipe) -> None:
    """A traceback has more bytes than a pipe takes in one piece."""
    pipe.writer.write("é" * 20_000)
    assert (["é" * 20_000], 0) == (pipe.lines(), pipe.writer.lost)


def test_a_reader_that_has_gone_is_no_error(pipe: Pipe) -> None:
    """The program that read the log was restarted: a broken pipe."""
    os.close(pipe.reader)
    pipe.writer.write("line")
    assert 1 == pipe.writer.lost
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_a_full_disk_is_no_error_and_nothing_is_tried_again_at_the_end() -> None:
    """The rest of Python's buffer would fail once more at the end of the program, and change its exit code."""
    with Path("/dev/full").open("w") as full:
        writer = LineWriter(full)
        for _ in range(5):
            writer.write("line")
        assert 5 == writer.lost


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "none"])
def test_a_stream_that_is_closed_is_no_error(tmp_path: Path, *, closed: bool) -> None:
    """As where a terminal was closed, or the program was started without standard error."""
    stream = (tmp_path / "log").open("w") if closed else None
    writer = LineWriter(stream)
    if stream:
        stream.close()
    writer.write("line")
    assert 1 == writer.lost


@pytest.mark.parametrize(
    ("form", "terminal", "as_text"), [("auto", True, True), ("auto", False, False), ("json", True, False)]
)
def test_a_line_is_text_on_a_terminal_unless_the_setting_fixes_its_form(
    logged: StringIO, monkeypatch: pytest.MonkeyPatch, form: str, *, terminal: bool, as_text: bool
) -> None:
    """A person reads it in one glance; a collector of logs gets fields. Each line names the worker."""
    monkeypatch.setattr(logged, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", logged)  # pytest has put its own back since
    begin_log("warning", form, worker="w1")
    structlog.get_logger().info("not for the log")
    structlog.get_logger().warning("step failed", error="no \x1b route", times=2)
    write_line('{"event": "begun", "level": "info"}')
    write_line('{"event": "out of time", "level": "error", "timestamp": "2026-03-01T03:00:10.5Z"}')
    ours, childs = logged.getvalue().splitlines()
    if as_text:
        assert "Z warning step failed  error='no \\x1b route'  times=2  worker=w1" == ours[19:]
        assert "2026-03-01T03:00:10Z error   out of time  worker=w1" == childs
    else:
        assert [("step failed", "w1"), ("out of time", "w1")] == [(row["event"], row["worker"]) for row in rows(logged)]


def test_the_lines_of_a_child_go_the_same_way(logged: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted with ours."""
    write_line('{"event": "begun"}')
    assert [{"event": "begun"}] == rows(logged)
    monkeypatch.setattr(log, "_writer", LineWriter(None))
    write_line('{"event": "begun"}')
    assert 1 == lines_lost()
