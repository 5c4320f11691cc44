"""TensorFlow and Keras, imported without their notes on the machine, which no log level silences.

The import takes seconds of a core. A run that trains no network does without it.
"""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import structlog

from tidecast.errors import TidecastError
from tidecast.start import OwnPackages

STDERR = 2
# Keras and Keras Tuner import these, if they are installed, for wrappers, pictures and inputs that we do not use: a
# third of the time.
UNUSED = ("IPython", "matplotlib", "matplotlib.pyplot", "pandas", "sklearn")
_PACKAGES = ("keras", "tensorflow")
log = structlog.get_logger("tidecast.trainer")
_LOCK = threading.Lock()  # threads that train may need it at the same moment


@contextmanager
def _silence() -> Iterator[None]:
    """Discard the process's standard error; Python's own exceptions still pass."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


class _Late:
    """A module that is imported when one of its public names is first used.

    Programs that inspect all objects of a module, such as pytest, ask each for private names.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(_imported()[self._module], name)


class _Refusal:
    """A finder that refuses the modules in UNUSED to one thread, as if they were not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Raise an error for an unused module; find none itself."""
        if name in UNUSED and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)


@contextmanager
def _without_unused() -> Iterator[None]:
    """Import Keras within the block without UNUSED, in a program of ours: in a user's, Keras may need them."""
    if OwnPackages not in sys.meta_path:
        yield
        return
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Create lasting objects within the block: no collection looks at them, neither there nor later."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import Keras, or a package that imports it, within the block: without notes, UNUSED and collections."""
    with _LOCK, _silence(), _without_unused(), _without_collections():
        yield


@cache
def _imported() -> dict[str, ModuleType]:
    for name in _PACKAGES:
        check_package(name)
    with lean_imports():
        modules = {name: import_module(name) for name in _PACKAGES}
    # The matrix products of these networks are too small to split over cores. On two cores, with one thread per core
    # and separate series for each, training is a sixth faster if no operation uses the other core. Keras' own `fit`
    # takes as long either way. The setting must precede TensorFlow's first operation.
    with suppress(RuntimeError):
        modules["tensorflow"].config.threading.set_intra_op_parallelism_threads(1)
    report_gpus(modules["tensorflow"])
    return modules


def check_package(name: str) -> None:
    """Check that a name does not stand for a single file, such as the user's own script `keras.py`.

    Its import would run the script again, which waits for the import.

    Raises:
        TidecastError: it does.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec and spec.origin and spec.submodule_search_locations is None:
        raise TidecastError(f"{spec.origin} would be imported in place of the package {name}: rename it")


def report_gpus(tensorflow: Any) -> None:
    """Log the GPUs that TensorFlow trains on, if there are any; it chooses them by itself."""
    with _silence():
        gpus = [device.name for device in tensorflow.config.list_physical_devices("GPU")]
    if gpus:
        log.info("training on a GPU", devices=gpus)


keras: Any = _Late("keras")
tf: Any = _Late("tensorflow")

__all__ = ["keras", "tf"]
