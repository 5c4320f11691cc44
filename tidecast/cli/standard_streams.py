"""Replace standard streams that the caller has closed."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))  # in the order of their descriptors


def open_standard_streams() -> None:
    """Open /dev/null for standard input, output or error if the caller has closed it.

    Otherwise the next file or socket gets its number, and a library's message on standard error could go to Redis.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, TextIOWrapper):
        with suppress(OSError):  # reconfigure flushes, which some streams refuse
            sys.stdout.reconfigure(errors="backslashreplace")  # escapes characters that the encoding does not have
