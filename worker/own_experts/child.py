"""The child process that runs experts of the users' own.

It reads messages from the socket whose number is its first argument, and answers each in order. Its standard input only
shows whether the worker lives. What experts print goes to the log of the worker.
"""

import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from tidecast.own_experts.answers import answers_of
from tidecast.own_experts.protocol import Expert
from tidecast.own_experts.source import make_expert
from worker.own_experts.messages import Answer, Load, Predict


def serve(connection: Connection) -> None:
    """Load experts and let them forecast until the worker closes the connection."""
    experts: dict[str, Expert] = {}
    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        connection.send(_answer(experts, message))


def _answer(experts: dict[str, Expert], message: Any) -> Answer:
    began = time.perf_counter()
    error = None
    forecasts = None
    try:
        if isinstance(message, Load):
            experts.pop(message.series, None)
            expert = make_expert(message.source)
            expert.restore(message.state)
            experts[message.series] = expert
        elif isinstance(message, Predict):
            forecasts = answers_of(experts[message.series], message.windows)
    except Exception as exc:
        error = f"{type(exc).__name__}: {exc}"
    return Answer(message.series, forecasts, error, time.perf_counter() - began)


def _end_with_the_worker() -> None:
    """End the process and those that an expert has started once standard input ends, whatever they are doing."""
    os.read(0, 1)
    with suppress(ProcessLookupError):  # the worker gave us a process group of our own
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def main(number: int, most_bytes: int) -> None:
    """Serve the socket of a number with a limit of memory."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    os.dup2(2, 1)  # what an expert prints
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    connection = Connection(number)
    connection.send(Answer("", None, None, 0.0))  # ready
    serve(connection)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
