"""Import the compiler of the kernels, or explain to the user why it cannot be imported."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from tidecast.errors import SettingsError

LINEAR_ALGEBRA = "scipy.linalg.cython_blas"
PLAIN = "NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING"  # coloured, the errors that it tries and drops take 4 % of its time


@contextmanager
def compiler_imports() -> Iterator[None]:
    """Import Numba within the block; its import tests whether this system lets a process generate code.

    Raises:
        SettingsError: the system forbids it, or the compiler cannot be loaded.
    """
    os.environ.setdefault(PLAIN, "1")
    try:
        with _without_linear_algebra():
            yield
    except PermissionError as exc:
        raise SettingsError(
            f"forecasts need code that is made at run time, and this system forbids it ({exc.strerror or exc}): allow "
            "it, with MemoryDenyWriteExecute=no in the systemd unit, or with SELinux's boolean deny_execmem off"
        ) from exc
    except OSError as exc:
        raise SettingsError(
            "forecasts need compiled code, and the compiler (llvmlite) cannot be loaded: give this process more "
            "memory, or install it again"
        ) from exc


@contextmanager
def _without_linear_algebra() -> Iterator[None]:
    """Let Numba's first import not load SciPy (0.2 s of processor time), which no kernel needs.

    Numba's `arraymath` tries that import only to learn whether its `cov` and `corrcoef` can work. It gets the same
    answer here, without the import.
    """
    if "numba" in sys.modules or LINEAR_ALGEBRA in sys.modules:
        yield
        return
    sys.modules[LINEAR_ALGEBRA] = None  # type: ignore[assignment] # lets its import raise ImportError
    try:
        yield
        arrays = import_module("numba.np.arraymath")
    finally:
        del sys.modules[LINEAR_ALGEBRA]
    vars(arrays)["_HAVE_BLAS"] = find_spec("scipy") is not None
