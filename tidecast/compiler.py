"""Import the compiler of the kernels, or explain to the user why it cannot be imported."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tidecast.errors import SettingsError

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
