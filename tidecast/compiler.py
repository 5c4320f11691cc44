"""Import the compiler of the kernels, or explain to the user why it cannot be imported."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tidecast.errors import SettingsError

ARRAYS = "numba.np.arraymath"
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


def complete(target: Any) -> None:
    """Load what Numba needs to compile, but not to run loaded code: 0.1 s of processor time and 30 MB.

    SciPy, which takes 0.2 s more, is not loaded, as no kernel needs it. Numba's `arraymath` tries that import only to
    learn whether its `cov` and `corrcoef` can work. It gets the same answer here, without the import.
    """
    if ARRAYS in sys.modules or LINEAR_ALGEBRA in sys.modules:
        target.refresh()
        return
    sys.modules[LINEAR_ALGEBRA] = None  # type: ignore[assignment] # lets its import raise ImportError
    try:
        arrays = import_module(ARRAYS)
    finally:
        del sys.modules[LINEAR_ALGEBRA]
    vars(arrays)["_HAVE_BLAS"] = find_spec("scipy") is not None
    target.refresh()
