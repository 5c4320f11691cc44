"""Run experts of the users' own in a child process, with limits of time and memory.

If an expert raises an error, gives no number or takes longer than `experts.timeout`, it is left out for a minute, then
for two, and so on up to an hour. After a call that took too long the process is killed and another one started. The
worker never waits for the start of the process or for the loading of an expert: until then the expert has no forecast.
"""

import math
import os
import signal
import socket
import struct
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np
import structlog

from tidecast.arrays import Float
from tidecast.durations import duration_text
from tidecast.errors import SettingsError
from tidecast.online.own_experts import OwnCall, OwnFailure
from tidecast.own_experts.in_process import check_named
from tidecast.settings import ExpertSettings, environment_of_one_thread
from tidecast.start import child_command
from worker.failures.log_limiter import LogLimiter
from worker.own_experts.messages import Answer, Load, Predict
from worker.own_experts.metrics import Usage

LOADING_S = 0.02  # how long a batch lets experts load
LOAD_TIMEOUT_S = 60.0  # how long one expert may take to load: it may import a library
START_AGAIN_S = 10.0  # after a process that could not be started, or has ended before it was ready
STUCK_S = 2.0  # how long the process may take for a part of a message, or to end after it has closed its socket
MEMORY = "experts.memory may be too small"
PAUSES_S = (60.0, 3600.0)  # the first and the longest pause after a failure

log = structlog.get_logger("tidecast.worker")
Key = tuple[str, int]  # a series and the version of its model


@dataclass(slots=True)
class Pause:
    """The pause of an expert that has failed."""

    until: float  # by the monotonic clock
    length_s: float


@dataclass(slots=True)
class _Process:
    """A running child process, and the experts in it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False
    loaded: dict[str, int] = field(default_factory=dict)  # the versions by series
    loading: tuple[Key, float] | None = None  # the expert that it is loading now, and since when


class ExpertPool:
    """Calls experts of the users' own in a child process.

    Args:
        settings: the limits, and which code may run.
        usage: counts what the experts cost.
        clock: seconds, monotonic.
    """

    def __init__(self, settings: ExpertSettings, usage: Usage, clock: Callable[[], float] = time.monotonic) -> None:
        self.usage = usage
        self._settings = settings
        self._clock = clock
        self._process: _Process | None = None
        self._waiting: deque[OwnCall] = deque()  # to be loaded
        self._pauses: dict[str, Pause] = {}
        self._failures: list[OwnFailure] = []
        self._limiter = LogLimiter()
        self._start_at = -math.inf  # when to start a process again

    def forecast(self, calls: Sequence[OwnCall]) -> tuple[list[Float], list[OwnFailure]]:
        """Return the forecasts of each call, `(n,)`, NaN where an expert has no answer, and the experts that failed."""
        forecasts = [np.full(len(call.windows), np.nan) for call in calls]
        self._failures = []
        now = self._clock()
        ready = [i for i, call in enumerate(calls) if self._may_call(call, now)]
        if not ready:
            return forecasts, self._failures
        child = self._running(now)
        if child:
            self._wait_for(child, [calls[i] for i in ready], now)
        deadline = now + self._settings.batch_timeout
        for place, i in enumerate(ready):
            child = self._process
            if child is None or child.loading:
                break
            if self._clock() > deadline:
                self._skip(len(ready) - place)
                break
            if child.loaded.get(calls[i].series) == calls[i].version:
                answer = self._call(child, calls[i], deadline)
                if answer is not None:
                    forecasts[i] = answer
        return forecasts, self._failures

    def close(self) -> None:
        """End the child process."""
        child = self._process
        self._process = None
        if child:
            child.connection.close()
            with suppress(ProcessLookupError, PermissionError):  # the latter on some systems if all are zombies
                os.killpg(child.process.pid, signal.SIGKILL)  # with the processes that an expert has started
            if child.process.stdin:
                child.process.stdin.close()
            child.process.wait()

    def _may_call(self, call: OwnCall, now: float) -> bool:
        pause = self._pauses.get(call.series)
        if pause and now < pause.until:
            return False
        try:
            check_named(self._settings, call)
        except SettingsError as exc:
            self._fail(call.series, str(exc))
            return False
        return True

    def _skip(self, experts: int) -> None:
        """Count the experts of a batch whose time was up; the log reports them now and then."""
        self.usage.skipped += experts
        if times := self._limiter.count("skipped"):
            allowed = duration_text(self._settings.batch_timeout)
            remedy = "raise experts.batch_timeout, use faster experts, or more partitions and workers"
            log.warning("own experts were not called", experts=experts, allowed=allowed, times=times, remedy=remedy)

    def _running(self, now: float) -> _Process | None:
        """Return the child process once it is ready; start it if it does not run."""
        child = self._process
        if child is None:
            if now >= self._start_at:
                self._start(now)
            return None
        if not child.ready:
            if child.process.poll() is not None:
                log.error("the process of own experts does not start", code=child.process.returncode, memory=MEMORY)
                self._start_at = now + START_AGAIN_S
                self._end(child)
                return None
            if child.connection.poll(0):
                with suppress(EOFError, OSError):
                    child.ready = child.connection.recv().series == ""
        return child if child.ready else None

    def _start(self, now: float) -> None:
        try:
            self._process = self._started()
        except OSError as exc:  # no memory, or too many processes or open files
            log.error("the process of own experts does not start", error=str(exc))
            self._start_at = now + START_AGAIN_S

    def _started(self) -> _Process:
        ours, theirs = socket.socketpair()
        for timeout in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # a process that is stopped must not stop the worker
            ours.setsockopt(socket.SOL_SOCKET, timeout, struct.pack("ll", round(STUCK_S), 0))
        with ours, theirs:
            command = child_command("worker.own_experts.child", str(theirs.fileno()), str(self._settings.memory))
            process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=environment_of_one_thread(),
            )
            return _Process(process, Connection(ours.detach()))

    def _wait_for(self, child: _Process, calls: Sequence[OwnCall], now: float) -> None:
        """Load experts that are not loaded yet, for `LOADING_S` at most."""
        waiting = {call.series for call in self._waiting}
        self._waiting += [
            call
            for call in calls
            if child.loaded.get(call.series) != call.version
            and call.series not in waiting
            and not (child.loading and child.loading[0] == (call.series, call.version))
        ]
        until = now + LOADING_S
        while self._process is child and (child.loading or self._waiting):
            if not child.loading:
                call = self._waiting.popleft()
                child.loading = (call.series, call.version), self._clock()
                if not self._send(child, Load(call.series, call.model.source, call.model.state)):
                    return
            (series, version), since = child.loading
            if child.connection.poll(max(0.0, until - self._clock())):
                answer = self._receive(child, series)
                child.loading = None
                if answer and answer.error is None:
                    child.loaded[series] = version
            elif self._clock() - since > LOAD_TIMEOUT_S:
                self._end(child)
                self._fail(series, f"its expert took longer than {LOAD_TIMEOUT_S:g} s to load: make its state smaller")
                return
            else:
                return

    def _call(self, child: _Process, call: OwnCall, deadline: float) -> Float | None:
        if not self._send(child, Predict(call.series, call.windows)):
            return None
        each_s = self._settings.timeout
        if not child.connection.poll(max(each_s, min(each_s * len(call.windows), deadline - self._clock()))):
            self._end(child)
            allowed = duration_text(each_s)
            self._fail(call.series, f"its expert took longer than {allowed}: make it faster, or raise experts.timeout")
            return None
        answer = self._receive(child, call.series)
        if answer is None or answer.forecasts is None:
            return None
        self.usage.calls += len(call.windows)
        self.usage.seconds += answer.seconds
        self._pauses.pop(call.series, None)
        return answer.forecasts

    def _send(self, child: _Process, message: Load | Predict) -> bool:
        try:
            child.connection.send(message)
        except OSError:
            self._died(child, message.series)
            return False
        return True

    def _receive(self, child: _Process, series: str) -> Answer | None:
        """Return the next answer; None if the expert or the process has failed."""
        try:
            answer: Answer = child.connection.recv()
        except (EOFError, OSError):
            self._died(child, series)
            return None
        if answer.error is not None:
            remedy = "correct its code"
            if "MemoryError" in answer.error.partition(":")[0]:  # perhaps experts of former series take it
                self._end(child)
                remedy += ", or raise experts.memory"
            self._fail(series, f"its expert failed with {answer.error}: {remedy}")
            return None
        return answer

    def _died(self, child: _Process, series: str) -> None:
        child.connection.close()
        happened = "does not answer any more"
        with suppress(subprocess.TimeoutExpired):  # it may wait for a thread of an expert
            happened = f"ended with {child.process.wait(STUCK_S)}"
        self._end(child)
        self._fail(series, f"the process of its expert {happened}: correct its code, or raise experts.memory")

    def _end(self, child: _Process) -> None:
        """Kill a child process; another one is started with the next batch."""
        if self._process is child:
            self.close()
            self._waiting.clear()

    def _fail(self, series: str, reason: str) -> None:
        shortest, longest = PAUSES_S
        before = self._pauses.get(series)
        length_s = min(longest, 2 * before.length_s) if before else shortest
        self._pauses[series] = Pause(self._clock() + length_s, length_s)
        self.usage.failures += 1
        self._failures.append(OwnFailure(series, f"{reason}; it is tried again in {duration_text(length_s)}"))
        log.warning("an own expert failed", series=series, reason=reason, pause_s=length_s)
