"""How long a test waits for something that must happen: no test may depend on how fast the machine is."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 480.0  # shorter than the time limit of a test, so that its own message is seen


def until(happened: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until a function returns a true value, and return it; fail after a time that no healthy machine needs."""
    deadline = time.monotonic() + patience_s
    while not (result := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return result
