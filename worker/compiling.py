"""Compile the functions that answer readings in two parallel processes, before the first reading arrives.

Compiling takes ten to twenty seconds of a core, once on a machine. So a second process, the helper, compiles one
share of the functions and stores them on disk, while this process compiles the other share. This process then loads
the stored functions and compiles the missing ones, whether or not the helper succeeded.
"""

import gc
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import structlog

from tidecast.code_cache import NotKeptError, can_keep, only_loading
from tidecast.models.spec import Spec
from tidecast.online import window
from tidecast.online.kernels import online_linear, scoring
from tidecast.online.kernels.further import intervals, paths
from tidecast.online.kernels.linear import StackedExperts
from tidecast.online.kernels.networks import inputs
from tidecast.online.kernels.networks.threads import Threads, linear_answers
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.online.kernels.rows import Rows
from tidecast.online.series import forecast_encoder, state_encoder
from tidecast.online.stages import entry_parser
from tidecast.settings import cores
from tidecast.start import LastingObjects, child_command

Step = Callable[[], object]  # calls compiled functions, which are then loaded or compiled
PATIENCE = 3.0  # the helper may take this many times as long as we do: its core may be busy with other work
PATIENCE_S = 10.0  # additional time for the helper

log = structlog.get_logger("tidecast.worker")


def load_or_compile(own: Sequence[Step], of_helper: Sequence[Step], on_cold: Callable[[], None]) -> None:
    """Load the functions that the steps call, and compile those that are not on disk.

    Args:
        own: the steps that this process compiles.
        of_helper: the steps that `compile_share`, in the helper, compiles.
        on_cold: called once, before anything is compiled.
    """
    with LastingObjects():
        own = [step for step in own if not _loads(step)]
        of_helper = [step for step in of_helper if not _loads(step)]
    if not own and not of_helper:
        return
    on_cold()
    with _without_collections():
        with _helper() if own and of_helper and _is_worth_it() else nullcontext():
            for step in own:
                step()
        for step in of_helper:
            step()


def compile_share(steps: Sequence[Step]) -> None:
    """Compile the helper's share; exit early if the parent process ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with _without_collections():
        for step in steps:
            step()


def _loads(step: Step) -> bool:
    try:
        with only_loading():
            step()
    except NotKeptError:
        return False
    return True


def _is_worth_it() -> bool:
    """Return whether a second process has a core to run on and a place to store the compiled functions."""
    return cores() > 1 and can_keep()


@contextmanager
def _helper() -> Iterator[None]:
    """Run the helper in parallel with the block, and wait for it at the end."""
    began = time.monotonic()
    try:
        # The helper's standard input ends when this process ends, for whatever reason.
        process = subprocess.Popen(  # noqa: S603 - ourselves
            child_command("worker.compiling"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as exc:  # no memory, or too many processes
        log.warning("compiling in one process", error=str(exc))
        yield
        return
    with process:
        try:
            yield
            code = process.wait(PATIENCE_S + PATIENCE * (time.monotonic() - began))
            if code != 0:
                log.warning("compiling in one process", error=f"the helper process ended with exit code {code}")
        except subprocess.TimeoutExpired:
            log.warning("compiling in one process", error="the helper process takes too long")
        finally:
            process.kill()


@contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage within the block: compiling creates many lasting objects, which a collection only visits."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _answer_network() -> None:
    spec = Spec(window=2, units=1, layers=2, hidden=1)
    layout = WeightLayout(spec)
    Threads().answers(np.zeros((1, 2, 1), np.float32), layout.slab(1), np.zeros(1, np.int64), layout)


def _answer_linear() -> None:
    at = np.zeros(1, np.int64)
    short = np.zeros((1, 1), np.int16)
    experts = StackedExperts(at, short, short, np.zeros((1, 1, 1)), np.zeros((1, 1)), short)
    linear_answers(Rows(np.zeros(1), at + 1, at + 1, at + 1), at, experts)


# Both shares take about the same time, counting the start of the helper.
OWN = (_answer_network, online_linear.warm, scoring.warm, scoring.warm_trackers, _answer_linear)
FURTHER = (paths.warm, intervals.warm)  # only for forecasts of several steps
OF_HELPER = (window.warm, entry_parser.warm, state_encoder.warm, forecast_encoder.warm, inputs.warm)


def _ignore() -> None:
    """Do nothing."""


def warm(on_cold: Callable[[], None] = _ignore, steps: int = 1) -> None:
    """Load or compile all functions that answer readings; a worker does this before it takes a lease.

    Args:
        on_cold: called first if something must be compiled. Compiling takes some seconds, once on a machine.
        steps: the number of steps that readings are answered for.
    """
    load_or_compile((*OWN, *(FURTHER if steps > 1 else ())), OF_HELPER, on_cold)


if __name__ == "__main__":
    compile_share(OF_HELPER)
