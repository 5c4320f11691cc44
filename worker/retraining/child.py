"""The child process that trains one partition's series anew: started, watched, ended; TensorFlow stays in there.

The child gets one line of JSON and then an open standard input, whose end tells it that its parent is gone. Its log
comes by standard error, a JSON object a line, and its figures are the last line of its standard output.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from tidecast.errors import SettingsError
from tidecast.log import write_line
from tidecast.moments import span_ms
from tidecast.retraining import missing_packages
from tidecast.settings import Settings
from tidecast.start import child_command

COMMAND = tuple(child_command("trainer.retrain.main"))
POLL_S = 0.1  # how often the child is looked at: as long as it may outlive a word to stop
LINE_BYTES = 65_536  # what has no end by then is passed on as it is
CHUNK = 65_536
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20

log = structlog.get_logger("tidecast.worker")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: each series that was due is counted once.

    Attributes:
        trained: a new version answers.
        kept: the champion was at least as good.
        refused: it could not be trained, or no version may answer.
        put_off: there was no time.
        seconds: how long the run took.
    """

    trained: int = 0
    kept: int = 0
    refused: int = 0
    put_off: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(*(getattr(self, name) + getattr(other, name) for name in Summary.__slots__))

    def __str__(self) -> str:
        return (
            f"{self.trained} series trained, {self.kept} kept their model, {self.refused} refused, "
            f"{self.put_off} put off, in {self.seconds:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: with a summary; or with a sentence why not; or told to stop, with neither."""

    summary: Summary | None = None
    failure: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop, and neither finished nor failed."""
        return self.summary is None and not self.failure


def check_installed() -> None:
    """Make sure that the child can train here.

    Raises:
        SettingsError: this is an installation without the trainer's packages.
    """
    if missing := missing_packages():
        names = ", ".join(missing)
        raise SettingsError(f"the training packages are not installed ({names}): pip install 'tidecast[train]'")


def request(settings: Settings, partition: int, series: Sequence[str] = (), *, force: bool = False) -> bytes:
    """The line that the child is given, with the password in it: no list of processes shows a standard input."""
    told = settings.model_dump(mode="json") | {"redis_url": settings.redis_url.get_secret_value()}
    return (
        json.dumps({"settings": told, "partition": partition, "series": list(series), "force": force}).encode() + b"\n"
    )


def run(
    settings: Settings,
    partition: int,
    series: Sequence[str] = (),
    *,
    force: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    command: Sequence[str] = COMMAND,
) -> Outcome:
    """Train a partition's series in a child process, and wait for its end.

    Args:
        settings: the child's too; `retrain.timeout` and `retrain.memory_mb` end it.
        partition: the number of the partition.
        series: which series; none: the child finds out which are due.
        force: train them even if they are not due.
        cancelled: asked ten times a second whether the child is to be ended.
        command: what to start.
    """
    try:
        child = _Child(command, request(settings, partition, series, force=force))
    except OSError as exc:
        return Outcome(failure=f"the child process could not be started: {exc}")
    limits = settings.retrain
    deadline = time.monotonic() + span_ms(limits.timeout) / 1000
    try:
        while not child.ended():
            child.attend(POLL_S)
            if cancelled():
                return Outcome()
            if time.monotonic() > deadline:
                return Outcome(failure=f"it did not end within {limits.timeout}: raise retrain.timeout")
            if (taken_mb := child.resident_mb()) > limits.memory_mb:
                return Outcome(
                    failure=f"it took {taken_mb:.0f} MB, more than {limits.memory_mb}: raise retrain.memory_mb"
                )
    finally:
        code = child.end()
    if code:
        return Outcome(failure=_meaning(code))
    summary = _summary(child.answer)
    return Outcome(summary) if summary else Outcome(failure="it ended without a summary")


def _meaning(code: int) -> str:
    if code > 0:
        return f"it ended with exit code {code}: its log says why"
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it was ended by signal {-code}"


def _summary(answer: bytes) -> Summary | None:
    """What the last line says; None if it is no summary."""
    try:
        found = json.loads(answer.strip().rpartition(b"\n")[2])
        counts = {name: int(found[name]) for name in ("trained", "kept", "refused", "put_off")}
        return Summary(**counts, seconds=float(found["seconds"]))
    except (ValueError, TypeError, KeyError):
        return None


class _Child:
    """A process, its pipes and its group."""

    def __init__(self, command: Sequence[str], line: bytes) -> None:
        pipe = subprocess.PIPE
        # A session of its own: whatever it starts is in its group, and a terminal's Ctrl-C reaches the parent alone.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
        )
        self.answer = b""  # the end of its standard output
        self._said = b""  # the beginning of a line of its log
        self._line = memoryview(line)
        self._ended = False
        self._selector = selectors.DefaultSelector()
        for stream, events in (
            (self._process.stdin, selectors.EVENT_WRITE),
            (self._process.stdout, selectors.EVENT_READ),
            (self._process.stderr, selectors.EVENT_READ),
        ):
            assert stream is not None  # noqa: S101 - they are pipes
            os.set_blocking(stream.fileno(), False)  # a child that stands still must not hold us up
            self._selector.register(stream, events)

    def ended(self) -> bool:
        """Whether the process has come to its end; it stays a zombie, so that its number is still its own."""
        if not self._ended:
            found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            self._ended = found is not None
        return self._ended

    def attend(self, wait_s: float) -> bool:
        """Write and read what there is, waiting so long for something; whether there was anything."""
        if not self._selector.get_map():  # it has closed all: only its end is to come
            time.sleep(wait_s)
            return False
        ready = self._selector.select(wait_s)
        for key, _ in ready:
            stream: IO[bytes] = key.fileobj  # type: ignore[assignment] # we have registered it
            if stream is self._process.stdin:
                self._write(stream)
            elif stream is self._process.stdout:
                self.answer = (self.answer + self._read(stream))[-LINE_BYTES:]
            else:
                self._pass_on(self._read(stream))
        return bool(ready)

    def resident_mb(self) -> float:
        """How much memory it has now, in megabytes; 0 where the system does not say."""
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE_MB
        except (OSError, IndexError):
            return 0.0

    def end(self) -> int:
        """Kill whatever of it still runs, and read what it has left; returns its exit code, negative of a signal."""
        with suppress(ProcessLookupError, PermissionError):  # the latter: all of the group are zombies, on some systems
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        while self._selector.get_map() and self.attend(0):
            pass
        self._pass_on(b"\n" if self._said else b"")
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr] # they are pipes
        return code

    def _write(self, stream: IO[bytes]) -> None:
        try:
            self._line = self._line[os.write(stream.fileno(), self._line[:CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it has closed its standard input: its end will say why
            self._line = self._line[:0]
        if not self._line:
            self._selector.unregister(stream)  # it stays open: its end would say that we are gone

    def _read(self, stream: IO[bytes]) -> bytes:
        try:
            data = os.read(stream.fileno(), CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(stream)
        return data

    def _pass_on(self, data: bytes) -> None:
        """Say what the child says, by whole lines, so that they do not mix with ours."""
        *lines, self._said = (self._said + data).split(b"\n")
        if len(self._said) > LINE_BYTES:
            lines, self._said = [*lines, self._said], b""
        for line in lines:
            if text := line.decode(errors="backslashreplace").strip():
                _say(text)


def _say(text: str) -> None:
    if text.startswith("{") and text.endswith("}"):
        write_line(text)
    else:  # what libraries print, and tracebacks
        log.info("retraining said", text=text)
