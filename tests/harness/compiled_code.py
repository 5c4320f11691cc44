"""The compiled code of this checkout, for programs that are to find it elsewhere."""

import shutil
from pathlib import Path
from unittest import mock

from numba.core import config

from tidecast import code_cache
from tidecast.online.kernels import scoring
from tidecast.online.kernels.networks import forward
from tidecast.online.kernels.placing import window_loops
from tidecast.online.series import state_encoder
from worker import compiling

QUICK = "window_loops.clear.*.nbc"  # the function that compiles fastest


def copy_compiled_code(place: Path) -> Path:
    """Copy all compiled code to where a program with `NUMBA_CACHE_DIR=place` looks for it; return the place."""
    compiling.warm()
    for source in (Path(str(module.__file__)) for module in (state_encoder, scoring, forward, window_loops)):
        kept = next(folder for folder in code_cache._folders(source) if any(folder.glob("*.nbc")))
        with mock.patch.object(config, "CACHE_DIR", str(place)):
            (copy,) = code_cache._folders(source)
        shutil.copytree(kept, copy)
    return place
