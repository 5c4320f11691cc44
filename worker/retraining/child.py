"""Start, watch and end the child process that retrains one partition's series; only the child loads TensorFlow.

The child reads one line of JSON from standard input, which then stays open: its end means that the parent is gone. The
child logs to standard error, one JSON object per line. The last line of its standard output is its summary.
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

from tidecast.durations import duration_text
from tidecast.errors import SettingsError
from tidecast.log import write_line
from tidecast.schedule_choice import missing_packages
from tidecast.settings import Settings
from tidecast.start import child_command

COMMAND = tuple(child_command("trainer.retrain.main"))
POLL_S = 0.1  # how often the child is checked, and how long it may outlive a request to stop
REPORT_EVERY_S = 60.0  # how often the log shows that the child runs: one series of two million rows takes many minutes
UNNEEDED = {"notify", "dashboard"}  # groups of settings with secrets that the child must not have
LINE_BYTES = 65_536  # a log line that is longer is passed on in parts
CHUNK = 65_536
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20

log = structlog.get_logger("tidecast.worker")


@dataclass(frozen=True, slots=True)
class RunReport:
    """The result of a run: the number of due series by what happened to them.

    Attributes:
        trained: a new version forecasts from now on.
        kept: the champion was at least as good.
        refused: the series could not be trained, or no version is allowed to forecast.
        put_off: there was no time.
        seconds: the duration of the run.
    """

    trained: int = 0
    kept: int = 0
    refused: int = 0
    put_off: int = 0
    seconds: float = 0.0

    def __add__(self, other: "RunReport") -> "RunReport":
        return RunReport(*(getattr(self, name) + getattr(other, name) for name in RunReport.__slots__))

    def __str__(self) -> str:
        return (
            f"{self.trained} series trained, {self.kept} kept their model, {self.refused} refused, "
            f"{self.put_off} put off, in {self.seconds:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a run: a summary if it finished, a sentence if it failed, neither if it was cancelled."""

    summary: RunReport | None = None
    failure: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled: it neither finished nor failed."""
        return self.summary is None and not self.failure


def check_installed() -> None:
    """Check that the trainer's packages are installed.

    Raises:
        SettingsError: packages are missing.
    """
    if missing := missing_packages():
        names = ", ".join(missing)
        raise SettingsError(f"the training packages are not installed ({names}): pip install 'tidecast[train]'")


def request(settings: Settings, partition: int, series: Sequence[str] = (), *, force: bool = False) -> bytes:
    """Return the child's input line; it holds the password, since no list of processes shows standard input."""
    dumped = settings.model_dump(mode="json", exclude=UNNEEDED) | {"redis_url": settings.redis_url.get_secret_value()}
    line = json.dumps({"settings": dumped, "partition": partition, "series": list(series), "force": force})
    return line.encode() + b"\n"


def run(
    settings: Settings,
    partition: int,
    series: Sequence[str] = (),
    *,
    force: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    command: Sequence[str] = COMMAND,
) -> TrainingResult:
    """Train a partition's series in a child process, and wait for its end.

    Args:
        settings: passed to the child; `retrain.timeout` and `retrain.memory` limit it.
        partition: the number of the partition.
        series: the series to train; if empty, the child selects those that are due.
        force: train them even if they are not due.
        cancelled: called ten times a second; the child is killed once it returns true.
        command: the command that starts the child.
    """
    try:
        child = _Child(command, request(settings, partition, series, force=force))
    except OSError as exc:
        return TrainingResult(failure=f"the child process could not be started: {exc}")
    limits = settings.retrain
    began = time.monotonic()
    report_s = REPORT_EVERY_S
    try:
        while not child.ended():
            child.attend(POLL_S)
            if cancelled():
                return TrainingResult()
            seconds = time.monotonic() - began
            if seconds > limits.timeout:
                return TrainingResult(
                    failure=f"it did not end within {duration_text(limits.timeout)}: raise retrain.timeout"
                )
            if (taken_mb := child.resident_mb()) > (most_mb := limits.memory / 2**20):
                return TrainingResult(
                    failure=f"it took {taken_mb:.0f} MB, more than {most_mb:.0f}: raise retrain.memory"
                )
            if seconds > report_s:
                log.info("training runs", seconds=round(seconds), memory_mb=round(taken_mb))
                report_s += REPORT_EVERY_S
    finally:
        code = child.end()
    if code:
        return TrainingResult(failure=_meaning(code))
    summary = _summary(child.answer)
    return TrainingResult(summary) if summary else TrainingResult(failure="it ended without a summary")


def _meaning(code: int) -> str:
    if code > 0:
        return f"it ended with exit code {code}: its log has the cause"
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it was ended by signal {-code}"


def _summary(answer: bytes) -> RunReport | None:
    """Parse the summary in the last line; return None if it is not a summary."""
    try:
        fields = json.loads(answer.strip().rpartition(b"\n")[2])
        counts = {name: int(fields[name]) for name in ("trained", "kept", "refused", "put_off")}
        return RunReport(**counts, seconds=float(fields["seconds"]))
    except (ValueError, TypeError, KeyError):
        return None


class _Child:
    """A child process with its pipes and its process group."""

    def __init__(self, command: Sequence[str], line: bytes) -> None:
        pipe = subprocess.PIPE
        # Its own session: all processes that it starts are in its group, and a terminal's Ctrl-C reaches only us.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
        )
        self.answer = b""  # the end of its standard output
        self._said = b""  # the beginning of an unfinished log line
        self._line = memoryview(line)
        self._ended = False
        self._selector = selectors.DefaultSelector()
        for stream, events in (
            (self._process.stdin, selectors.EVENT_WRITE),
            (self._process.stdout, selectors.EVENT_READ),
            (self._process.stderr, selectors.EVENT_READ),
        ):
            assert stream is not None  # noqa: S101 - they are pipes
            os.set_blocking(stream.fileno(), False)  # a child that hangs must not block us
            self._selector.register(stream, events)

    def ended(self) -> bool:
        """Return whether the process has ended; it stays a zombie, so that its process id is not reused."""
        if not self._ended:
            status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            self._ended = status is not None
        return self._ended

    def attend(self, wait_s: float) -> bool:
        """Serve the pipes that are ready, after waiting up to `wait_s`; return whether any was ready."""
        if not self._selector.get_map():  # the child has closed all pipes: only its exit is missing
            time.sleep(wait_s)
            return False
        ready = self._selector.select(wait_s)
        for key, _ in ready:
            stream: IO[bytes] = key.fileobj  # type: ignore[assignment] # registered above
            if stream is self._process.stdin:
                self._write(stream)
            elif stream is self._process.stdout:
                self.answer = (self.answer + self._read(stream))[-LINE_BYTES:]
            else:
                self._pass_on(self._read(stream))
        return bool(ready)

    def resident_mb(self) -> float:
        """Return its resident memory in megabytes; 0 if the system does not provide it."""
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE_MB
        except (OSError, IndexError):
            return 0.0

    def end(self) -> int:
        """Kill its process group, and read the remaining output; return its exit code, negative for a signal."""
        with suppress(
            ProcessLookupError, PermissionError
        ):  # the latter on some systems if all of the group are zombies
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
        except OSError:  # the child has closed its standard input; its exit code gives the reason
            self._line = self._line[:0]
        if not self._line:
            self._selector.unregister(stream)  # not closed: the child would infer that we are gone

    def _read(self, stream: IO[bytes]) -> bytes:
        try:
            data = os.read(stream.fileno(), CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(stream)
        return data

    def _pass_on(self, data: bytes) -> None:
        """Pass the child's log on in whole lines, so that they do not mix with ours."""
        *lines, self._said = (self._said + data).split(b"\n")
        if len(self._said) > LINE_BYTES:
            lines.append(self._said)
            self._said = b""
        for line in lines:
            if text := line.decode(errors="backslashreplace").strip():
                _say(text)


def _say(text: str) -> None:
    if text.startswith("{") and text.endswith("}"):
        write_line(text)
    else:  # output of libraries, and tracebacks
        log.info("output of the training process", text=text)
